// What a program in TypeScript does with types that were generated from the description: upload, submit, poll, list, and
// paint a batch. `node client.js URL KEY PICTURE` prints the job and the batch; any surprise ends it with an error.
import { readFile } from "node:fs/promises";
import { argv } from "node:process";
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

type Batch = components["schemas"]["BatchView"];
type Job = components["schemas"]["JobView"];

const [url, key, picture] = argv.slice(2) as [string, string, string];
const api = createClient<paths>({ baseUrl: url, headers: { Authorization: `Bearer ${key}` } });

/** What a call answered, or an error that names its problem's code. */
function good<T>(answer: { data?: T; error?: { code: string }; response: Response }): T {
  if (answer.data === undefined) throw new Error(`${answer.response.status} ${answer.error?.code}`);
  return answer.data;
}

/** Poll until `over`. */
async function polled<T>(show: () => Promise<T>, over: (shown: T) => boolean): Promise<T> {
  for (let attempt = 0; attempt < 600; attempt++) {
    const shown = await show();
    if (over(shown)) return shown;
    await new Promise((resume) => setTimeout(resume, 100));
  }
  throw new Error("too many polls");
}

async function uploaded(): Promise<string> {
  const form = new FormData();
  form.append("file", new Blob([await readFile(picture)], { type: "image/png" }), "photo.png");
  const answer = await api.POST("/v1/images", { body: { file: "" }, bodySerializer: () => form });
  return good(answer).id;
}

async function painted(image: string): Promise<Job> {
  const body = { content: image, styles: [{ image, weight: 2 }], params: { size: 32, steps: 4 }, label: "from TypeScript" };
  const submitted = good(await api.POST("/v1/jobs", { body, params: { header: { "Idempotency-Key": "ts-1" } } })) as Job;
  const path = { job_id: submitted.id };
  const job = await polled(
    async () => good(await api.GET("/v1/jobs/{job_id}", { params: { path, query: { wait: 1 } } })),
    ({ state }) => state !== "queued" && state !== "running",
  );
  const result = await api.GET("/v1/jobs/{job_id}/result", { params: { path }, parseAs: "arrayBuffer" });
  if (good(result).byteLength !== job.result?.bytes) throw new Error("the picture has another size");
  const listed = good(await api.GET("/v1/jobs", { params: { query: { state: ["succeeded"], label: "from TypeScript" } } }));
  if (listed.jobs[0]?.id !== job.id) throw new Error("the job is not listed");
  return job;
}

async function batched(image: string): Promise<Batch> {
  const opened = good(await api.POST("/v1/batches", { body: { style: image, params: { size: 32, steps: 4 }, reuse: false } }));
  const params = { path: { batch_id: opened.id } };
  const items = ["a.png", "b.png"].map((name) => ({ key: name, content: image }));
  const { added } = good(await api.POST("/v1/batches/{batch_id}/items", { params, body: { items } }));
  if (added !== 2) throw new Error(`${added} items were added`);
  good(await api.PATCH("/v1/batches/{batch_id}", { params, body: { max_parallel: 1 } }));
  good(await api.POST("/v1/batches/{batch_id}/start", { params }));
  return polled(
    async () => good(await api.GET("/v1/batches/{batch_id}", { params })),
    ({ ended_at }) => ended_at !== null,
  );
}

async function refused(image: string): Promise<string | undefined> {
  const { error } = await api.POST("/v1/jobs", { body: { content: image, style: image, params: { steps: 0 } } });
  return error?.code;
}

const image = await uploaded();
console.log(JSON.stringify({ job: await painted(image), batch: await batched(image), refused: await refused(image) }));
