// The event stream of a job or a sweep. The browser reconnects by itself with Last-Event-ID if the connection breaks; if the service refuses,
// the stream is reopened after a delay. Hidden pages have no stream, because browsers allow six connections to one host.
import { pathOf } from "./addresses.js";
import { connectionIs, refresh } from "./live.js";

const AGAIN_MS = 3000;

// `path` is the resource's; `types` are all event names, because EventSource needs a listener for each.
// `list` is the name of the resource's list of events or lines, `query` filters it; `onProgress` gets messages that are no events.
export function streamOf(path, types, after, onEvent, onEnd, { list = "events", query = "", onProgress = () => {} } = {}) {
  let source = null;
  let last = after;
  let timer = 0;
  let ended = false;

  function open() {
    clearTimeout(timer);
    if (source || ended || document.hidden) return;
    source = new EventSource(pathOf(`${path}/${list}?after=${last}&${query}`));
    source.onopen = () => connectionIs(true);
    source.onerror = () => {
      if (source.readyState !== EventSource.CLOSED) {
        connectionIs(false);
        return;
      }
      close();
      refresh(); // shows the reason
      timer = setTimeout(open, AGAIN_MS);
    };
    for (const type of types) source.addEventListener(type, receive);
    source.addEventListener("progress", (message) => onProgress(JSON.parse(message.data)));
    source.addEventListener("end", () => {
      ended = true;
      close();
      connectionIs(true);
      onEnd();
    });
  }

  function receive(message) {
    const event = JSON.parse(message.data);
    last = event.seq;
    onEvent(event);
  }

  function close() {
    source?.close();
    source = null;
  }

  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  addEventListener("online", open);
  open();
}
