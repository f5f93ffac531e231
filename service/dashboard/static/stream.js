// A job's event stream. The browser reconnects by itself with Last-Event-ID where the connection breaks; where the service
// refuses, we open the stream anew after a while. A page that nobody sees has none: browsers allow six to one host.
import { connectionIs, refresh } from "./live.js";

const TYPES = [
  "created", "attempt_started", "stage_started", "block_pruned", "evaluated", "cancel_requested", "pause_requested",
  "attempt_ended", "requeued", "paused", "resumed", "succeeded", "failed", "cancelled", "expired", "artifact_removed",
];
const AGAIN_MS = 3000;

export function streamOf(job, after, onEvent, onEnd) {
  let source = null;
  let last = after;
  let timer = 0;
  let ended = false;

  function open() {
    clearTimeout(timer);
    if (source || ended || document.hidden) return;
    source = new EventSource(`/v1/jobs/${job}/events?after=${last}`);
    source.onopen = () => connectionIs(true);
    source.onerror = () => {
      if (source.readyState !== EventSource.CLOSED) {
        connectionIs(false);
        return;
      }
      close();
      refresh(); // finds out and says why
      timer = setTimeout(open, AGAIN_MS);
    };
    for (const type of TYPES) source.addEventListener(type, receive);
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
