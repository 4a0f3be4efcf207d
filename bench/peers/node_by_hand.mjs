// The best that Node.js does without a library of Segment's: csv-parse, one JSON text a call, bodies below 480 KB, four
// requests of undici at a time. MODE=gzip compresses the bodies.
import { parse } from 'csv-parse';
import { randomUUID } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { Pool } from 'undici';
import { file, host, kind, mode, nested, writeKey } from './source.mjs';

const BODY_BYTES_MAX = 480_000;
const CALLS_MAX = 2_500;
const AT_A_TIME = 4;

const pool = new Pool(host, { connections: AT_A_TIME });
const authorization = `Basic ${Buffer.from(`${writeKey}:`).toString('base64')}`;

async function send(calls) {
  const headers = { authorization, 'content-type': 'application/json' };
  let body = `{"batch":[${calls.join(',')}]}`;
  if (mode === 'gzip') {
    headers['content-encoding'] = 'gzip';
    body = gzipSync(body, { level: 1 });
  }
  const answer = await pool.request({ method: 'POST', path: '/v1/batch', headers, body });
  await answer.body.dump();
  if (answer.statusCode !== 200) throw new Error(`Segment answers ${answer.statusCode}`);
}

let columns;
let calls = [];
let bytes = 0;
const underWay = new Set();

async function flush() {
  const request = send(calls).finally(() => underWay.delete(request));
  underWay.add(request);
  calls = [];
  bytes = 0;
  if (underWay.size >= AT_A_TIME) await Promise.race(underWay);
}

for await (const cells of (await file()).pipe(parse())) {
  if (!columns) {
    columns = cells.map((name) => name.split('.'));
    continue;
  }
  const call = nested(columns, cells);
  call.type = kind;
  call.messageId = randomUUID();
  const json = JSON.stringify(call);
  const length = Buffer.byteLength(json) + 1;
  if (bytes + length > BODY_BYTES_MAX || calls.length === CALLS_MAX) await flush();
  calls.push(json);
  bytes += length;
}
if (calls.length) await flush();
await Promise.all(underWay);
