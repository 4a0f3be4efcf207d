// The way of Segment's walkthrough for Lambda: the whole file in memory, csvtojson, one call of analytics-node 3 a row,
// one flush at the end.
const { GetObjectCommand, S3Client } = require('@aws-sdk/client-s3');
const Analytics = require('analytics-node');
const csvtojson = require('csvtojson');

const { BUCKET, KEY, S3_ENDPOINT, SEGMENT_HOST, WRITE_KEY } = process.env;
const date = (cell) => new Date(cell);

async function handler() {
  const s3 = new S3Client({ endpoint: S3_ENDPOINT, forcePathStyle: true });
  const { Body } = await s3.send(new GetObjectCommand({ Bucket: BUCKET, Key: KEY }));
  const text = await Body.transformToString();
  const rows = await csvtojson({ colParser: { createdAt: date, timestamp: date } }).fromString(text);
  const analytics = new Analytics(WRITE_KEY, { host: SEGMENT_HOST });
  const kind = KEY.split('_')[0];
  for (const row of rows) analytics[kind](row);
  await new Promise((resolve) => analytics.flush(resolve));
}

handler().then(() => console.log('Success!'), console.error);
