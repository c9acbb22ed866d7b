#!/usr/bin/env node
// @ts-check
/** The `busbar` command: sets up what is missing and runs actors/main.ts, which gets a nats-server when it needs one. */
import { launch } from './bootstrap.mjs'

await launch('actors/main.ts', process.argv.slice(2), { needsNats: false })
