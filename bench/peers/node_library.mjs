// Segment's library for Node.js as its documentation shows it: one call a row, closed at the end. MODE=tuned holds rows
// back while many wait, and sends larger batches.
import { Analytics } from '@segment/analytics-node';
import { parse } from 'csv-parse';
import { file, host, kind, mode, nested, writeKey } from './source.mjs';

const WAITING_MAX = 8_000;
const tuned = mode === 'tuned';

const analytics = new Analytics({ writeKey, host, ...(tuned && { flushAt: 800, flushInterval: 500 }) });
let failed = 0;
analytics.on('error', () => (failed += 1));

let columns;
let waiting = 0;
let roomy = () => {};

function done() {
  waiting -= 1;
  if (waiting < WAITING_MAX / 2) roomy();
}

for await (const cells of (await file()).pipe(parse())) {
  if (!columns) {
    columns = cells.map((name) => name.split('.'));
    continue;
  }
  const call = nested(columns, cells);
  if (call.timestamp) call.timestamp = new Date(call.timestamp);
  if (!tuned) {
    analytics[kind](call);
    continue;
  }
  if (waiting >= WAITING_MAX) await new Promise((resolve) => (roomy = resolve));
  waiting += 1;
  analytics[kind](call, done);
}
await analytics.closeAndFlush({ timeout: 600_000 });
if (failed) console.error(`${failed} errors`);
