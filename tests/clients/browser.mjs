// Sends calls from a page in headless Chromium: node browser.mjs URL WRITE_KEY USER
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import chromium from '@sparticuz/chromium'
import puppeteer from 'puppeteer-core'

const [url, writeKey, user] = process.argv.slice(2)
const library = dirname(createRequire(import.meta.url).resolve('@segment/analytics-next/package.json'))

// The page has another origin than the receiver.
const server = createServer(async (request, response) => {
  if (request.url.startsWith('/umd/')) {
    response.setHeader('content-type', 'text/javascript')
    response.end(await readFile(join(library, 'dist', request.url)).catch(() => ''))
  } else {
    response.setHeader('content-type', 'text/html')
    response.end('<!doctype html><title>Shop</title><script src="/umd/index.js"></script>')
  }
})
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
const origin = `http://127.0.0.1:${server.address().port}`

const browser = await puppeteer.launch({
  args: chromium.args,
  executablePath: await chromium.executablePath(),
  headless: 'shell',
})
const page = await browser.newPage()
page.on('console', (message) => console.error(message.text()))
page.on('pageerror', (error) => console.error(String(error)))

// One mode sends each call at once, the other sends batches.
for (const strategy of ['standard', 'batching']) {
  await page.goto(origin)
  await page.evaluate(
    async (url, writeKey, user, strategy) => {
      // A header of its own, so that the browser asks first.
      const config = { size: 3, timeout: 300, headers: { 'x-shop': '1' } }
      const deliveryStrategy = { strategy, config }
      const { AnalyticsBrowser } = window.AnalyticsNext
      const analytics = AnalyticsBrowser.load(
        { writeKey, cdnURL: url },
        { integrations: { 'Segment.io': { protocol: 'http', deliveryStrategy } } }
      )
      window.analytics = analytics
      await analytics.identify(user, { plan: 'gold' })
      await analytics.track(`${strategy} cut ` + '👍'.slice(0, 1), { price: 9.5 })
      await analytics.page('Home')
    },
    url,
    writeKey,
    user,
    strategy
  )
  await new Promise((resolve) => setTimeout(resolve, 4000))
  // The last call is made while the page goes away.
  await page.evaluate((strategy) => void window.analytics.track(`${strategy} last`), strategy)
  await page.goto('about:blank')
  await new Promise((resolve) => setTimeout(resolve, 1000))
}
await browser.close()
server.close()
