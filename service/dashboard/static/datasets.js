// Upload and deletion of data sets.
import { callApi, confirmAction, showFailure } from "./api_calls.js";
import { refresh } from "./live.js";

const form = document.getElementById("upload");
const done = document.getElementById("done");

form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const file = document.getElementById("file").files[0];
  const name = document.getElementById("name").value.trim();
  const button = form.querySelector("button");
  showFailure("");
  if (file.size > Number(form.dataset.most)) {
    showFailure("The file exceeds the upload limit; split or shorten it.");
    return;
  }
  button.disabled = true;
  done.textContent = "Uploading…";
  const type = /\.(jsonl|ndjson)$/i.test(file.name) ? "application/jsonl" : "text/plain";
  try {
    const query = name ? `?${new URLSearchParams({ name })}` : "";
    const answer = await callApi("POST", `/v1/datasets${query}`, { body: file, headers: { "Content-Type": type } });
    const made = await answer.json();
    done.textContent = answer.status === 201 ? `Uploaded ${made.name}: ${made.summary}.` : `The same documents already exist as ${made.name}.`;
    form.reset();
  } catch (error) {
    done.textContent = "";
    showFailure(error.message);
  }
  button.disabled = false;
  await refresh();
});

document.addEventListener("click", async (event) => {
  const id = event.target.closest("[data-delete]")?.dataset.delete;
  if (!id) return;
  showFailure("");
  if (!(await confirmAction("Delete this data set?", "Its text is removed. Ended jobs keep its id; to repeat them, upload the same text again.", "Delete the data set"))) return;
  try {
    await callApi("DELETE", `/v1/datasets/${id}`);
    done.textContent = "The data set is deleted.";
  } catch (error) {
    showFailure(error.message);
  }
  await refresh();
});
