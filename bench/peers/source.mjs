// The file, as its stream of bytes, and where its calls go. The environment names both.
import { GetObjectCommand, S3Client } from '@aws-sdk/client-s3';

export const { SEGMENT_HOST: host, WRITE_KEY: writeKey, KEY: key, MODE: mode } = process.env;

// The kind of the calls is the first word of the file's name, as for the ingester.
export const kind = key.split('_')[0];

export async function file() {
  const s3 = new S3Client({ endpoint: process.env.S3_ENDPOINT, forcePathStyle: true });
  const { Body } = await s3.send(new GetObjectCommand({ Bucket: process.env.BUCKET, Key: key }));
  return Body;
}

// The call of a row: `context.ip` is the key `ip` of the object `context`. Empty cells are left out.
export function nested(columns, cells) {
  const call = {};
  columns.forEach((path, column) => {
    if (cells[column] === '') return;
    let at = call;
    for (const name of path.slice(0, -1)) at = at[name] ??= {};
    at[path[path.length - 1]] = cells[column];
  });
  return call;
}
