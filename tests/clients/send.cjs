// Sends one call of each kind: node send.cjs LIBRARY URL WRITE_KEY USER
const [library, url, writeKey, user] = process.argv.slice(2)

const clients = {
  '@segment/analytics-node': () => {
    const { Analytics } = require(library)
    const client = new Analytics({ writeKey, host: url })
    return [client, () => client.closeAndFlush()]
  },
  'analytics-node': () => {
    const Analytics = require(library)
    const client = new Analytics(writeKey, { host: url })
    return [client, () => client.flush()]
  },
  '@rudderstack/rudder-sdk-node': () => {
    const Analytics = require(library).default ?? require(library)
    const client = new Analytics(writeKey, { dataPlaneUrl: url })
    return [client, () => client.flush()]
  },
}

async function main() {
  const [client, flush] = clients[library]()
  // A text that is cut inside an emoji, as JavaScript cuts it.
  client.track({ userId: user, event: 'cut ' + '👍'.slice(0, 1), properties: { price: 9.5, list: [1, 'ü'] } })
  client.identify({ userId: user, traits: { plan: 'gold' } })
  client.page({ userId: user, name: 'Home' })
  client.screen({ userId: user, name: 'Main' })
  client.group({ userId: user, groupId: 'g1', traits: { size: 3 } })
  client.alias({ userId: user, previousId: 'before' })
  await flush()
}

// The process ends when the library has nothing left to try.
main().catch((error) => {
  console.error(String(error))
  process.exitCode = 1
})
