#!/usr/bin/env node
// Several real nodes of npm's `bittorrent-dht` in one process, told what to do by lines of JSON.
//
//     bittorrent_dht_node.mjs [--count N] [--address 127.0.0.1] [--port P] [--bootstrap HOST:PORT[,...]]
//
// Commands come on standard input, answers go to standard output, one line of JSON each; README.md beside this file
// lists them. It ends with its input. Commands run at the same time: an answer carries the "id" of its command.
//
// The package is found through INTEROP_MODULES, a folder outside the sources that holds node_modules.

import { createHash, createPrivateKey, createPublicKey, randomBytes, sign, verify } from 'node:crypto'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'

const modules = process.env.INTEROP_MODULES ?? '.'
const { default: DHT } = await import(pathToFileURL(`${modules}/node_modules/bittorrent-dht/index.js`))

const { values: options } = parseArgs({
  options: {
    count: { type: 'string', default: '1' },
    address: { type: 'string', default: '127.0.0.1' },
    port: { type: 'string', default: '0' },
    bootstrap: { type: 'string', default: '' }
  }
})
if (options.address.includes(':')) {
  // k-rpc-socket opens an IPv4 socket, and k-rpc splits every address at its dots: there is no nodes6.
  console.error('bittorrent-dht knows IPv4 only')
  process.exit(1)
}

// Node's own Ed25519 takes keys in DER only; these are what goes before the 32 bytes.
const privateKey = seed =>
  createPrivateKey({
    key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]),
    format: 'der',
    type: 'pkcs8'
  })
const publicKey = key =>
  createPublicKey({
    key: Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), key]),
    format: 'der',
    type: 'spki'
  })
const isSigned = (signature, message, key) => {
  try {
    return verify(null, message, publicKey(key), signature)
  } catch {
    return false
  }
}

const nodes = []

/** Waits for a callback: `later(done => node.get(key, done))`. */
const later = start =>
  new Promise((resolve, reject) => start((error, ...results) => (error ? reject(error) : resolve(results))))

async function begin (port, bootstrap) {
  const node = new DHT({ bootstrap, verify: isSigned })
  node.on('warning', () => {})
  await new Promise((resolve, reject) => {
    node.once('error', reject)
    node.listen(port, options.address, resolve)
  })
  if (!node.ready) await new Promise(resolve => node.once('ready', resolve))
  nodes.push(node)
}

const hash = bytes => createHash('sha1').update(bytes).digest()

const todo = {
  ports: () => ({ ports: nodes.map(node => node.address().port) }),

  nodes: node => ({ nodes: node.nodes.toArray().length }),

  add: (node, { addr }) => {
    const [host, port] = addr.split(':')
    node.addNode({ host, port: Number(port) })
    return {}
  },

  announce: async (node, { info_hash: infoHash, port }) => {
    const [copies] = await later(done => node.announce(infoHash, port ?? 0, done))
    return { copies }
  },

  get_peers: async (node, { info_hash: infoHash }) => {
    const peers = new Set()
    const collect = (peer, of) => of.toString('hex') === infoHash && peers.add(`${peer.host}:${peer.port}`)
    node.on('peer', collect)
    await later(done => node.lookup(infoHash, done))
    node.off('peer', collect)
    return { peers: [...peers].sort() }
  },

  put: async (node, { value }) => {
    const [target, copies] = await later(done => node.put({ v: Buffer.from(value) }, done))
    return { target: target.toString('hex'), copies }
  },

  // `cache: false`: a node that has put a value itself would not ask anybody.
  get: async (node, { target }) => {
    const [item] = await later(done => node.get(target, { cache: false }, done))
    return { value: item && Buffer.from(item.v).toString() }
  },

  put_mutable: async (node, { seed, salt = '', value, seq, cas }) => {
    const secret = privateKey(seed ? Buffer.from(seed, 'hex') : randomBytes(32))
    const k = createPublicKey(secret).export({ format: 'der', type: 'spki' }).subarray(-32)
    const key = hash(Buffer.concat([k, Buffer.from(salt)]))
    if (seq === undefined) {
      // As libtorrent does: one more than what is there.
      const [old] = await later(done => node.get(key, { salt: salt || undefined, cache: false }, done))
      seq = old ? old.seq + 1 : 1
    }
    const item = { k, seq, v: Buffer.from(value), sign: message => sign(null, message, secret) }
    if (salt) item.salt = Buffer.from(salt)
    if (cas !== undefined) item.cas = cas
    const [target, copies] = await later(done => node.put(item, done))
    return { key: k.toString('hex'), target: target.toString('hex'), seq, copies }
  },

  get_mutable: async (node, { key, salt = '' }) => {
    const target = hash(Buffer.concat([Buffer.from(key, 'hex'), Buffer.from(salt)]))
    const [item] = await later(done => node.get(target, { salt: salt || undefined, cache: false }, done))
    return item ? { value: Buffer.from(item.v).toString(), seq: item.seq } : { value: null }
  }
}

const say = answer => process.stdout.write(JSON.stringify(answer) + '\n')

async function obey (command) {
  const begun = performance.now()
  const { id, do: what, node = 0, timeout_s: limit = 30 } = command
  const answer = { id, do: what, node }
  let timer
  try {
    if (!todo[what]) throw new Error(`bittorrent-dht has no ${what}`)
    const late = new Promise((resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`no ${what} in time`)), limit * 1000)
    })
    Object.assign(answer, { ok: true }, await Promise.race([todo[what](nodes[node], command), late]))
  } catch (error) {
    Object.assign(answer, { ok: false, error: error.message, code: error.code })
  }
  clearTimeout(timer)
  say({ ...answer, ms: Math.round((performance.now() - begun) * 1000) / 1000 })
}

const known = options.bootstrap.split(',').filter(Boolean)
for (let index = 0; index < Number(options.count); index++) {
  // The first is known to all others, so that they are one network without any bootstrap.
  const first = nodes.slice(0, 1).map(node => `${options.address}:${node.address().port}`)
  const bootstrap = known.length ? known : first
  await begin(Number(options.port) && Number(options.port) + index, bootstrap.length ? bootstrap : false)
}
say({ event: 'ready', ...todo.ports() })

const lines = createInterface({ input: process.stdin })
lines.on('line', line => {
  const command = JSON.parse(line)
  if (command.do === 'quit') process.exit(0)
  obey(command)
})
lines.on('close', () => process.exit(0))
