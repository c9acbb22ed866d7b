/** What goes wrong by itself, whatever processes do just then; once for each step of a life. */
import { gatewayIds, hostIds, supplierCount, type Deployment } from './deployment.ts'
import type { Faults } from './faults.ts'
import type { Life } from './life.ts'
import { meterCount, removable } from './names.ts'

type Note = (text: string) => void

export function trouble(deployment: Deployment, faults: Faults, note: Note): void {
  hostTrouble(deployment, faults, note)
  gatewayTrouble(deployment, faults, note)
  counterTrouble(deployment, faults, note)
  inventoryTrouble(deployment, faults)
  if (faults.strikes('meters vanish', 0.06)) {
    const draw = faults.of('meters vanish')
    deployment.meters.vanish(draw.pick(meterCount), draw.between(1_000, 120_000))
  }
}

/**
 * Another head-end, or this one before its ledger was restored from a backup, has sent higher
 * counters.
 */
function counterTrouble({ meters }: Deployment, faults: Faults, note: Note): void {
  const kind = 'other head-ends use the keys of meters'
  if (!faults.strikes(kind, 0.04)) return
  const draw = faults.of(kind)
  const meter = draw.pick(meterCount)
  const count = draw.between(1, draw.is(0.2) ? 1_000_000 : 20_000)
  if (meters.secured.moveOn(meter, count)) note(`meter ${meter} was sent ${count} higher counters`)
}

/** An operator removes a device, or registers one, which may be there. */
function inventoryTrouble(deployment: Deployment, faults: Faults): void {
  const kind = 'devices are removed'
  const draw = faults.of(kind)
  const changes = faults.of('suppliers change')
  if (faults.strikes('suppliers change', 0.2))
    deployment.changeSupplier(changes.pick(2), changes.between(1, supplierCount))
  if (faults.strikes('consents change', 0.2))
    deployment.changeConsent(faults.of('consents change').pick(2))
  if (faults.strikes(kind, 0.08)) deployment.removeDevice(draw.oneOf(removable))
  if (faults.strikes(kind, 0.1)) deployment.registerDevice(draw.oneOf(removable))
}

function hostTrouble(deployment: Deployment, faults: Faults, note: Note): void {
  const hostId = faults.of('hosts die').oneOf(hostIds)
  const host = deployment.hosts.get(hostId)
  if (host === undefined) {
    if (faults.of('hosts die').is(0.15)) {
      note(`host ${hostId} starts`)
      deployment.startHost(hostId)
    }
    return
  }
  const { life } = host
  if (faults.strikes('hosts die', 0.02)) note(`host ${hostId} dies${deployment.killHost(hostId)}`)
  if (faults.strikes('hosts are paused', 0.04)) {
    const ms = faults.of('hosts are paused').between(100, 20_000)
    note(`host ${hostId} is paused for ${ms} ms`)
    deployment.pause(life, ms)
  }
  if (faults.strikes('hosts leave', 0.03)) {
    note(`host ${hostId} leaves`)
    deployment.leave(hostId)
  }
  if (faults.strikes('disks are lost, old or damaged', 0.03)) {
    note(`the disk of host ${hostId} is damaged`)
    deployment.damageDisk(hostId)
  }
  // Nobody sets the clock of a machine and stops its process in the same moment.
  if (!life.isPaused) clockTrouble(hostId, life, deployment, faults)
  if (faults.strikes('hosts are cut off the bus', 0.03)) {
    const ms = faults.of('hosts are cut off the bus').between(500, 15_000)
    note(`host ${hostId} is cut off the bus for ${ms} ms`)
    deployment.cutOff(hostId, ms)
  }
}

/** Somebody sets the clock of a process, forward or back. */
function clockTrouble(id: string, life: Life, deployment: Deployment, faults: Faults): void {
  const kind = 'clocks jump'
  if (!faults.strikes(kind, 0.04)) return
  const draw = faults.of(kind)
  const most = draw.is(0.2) ? (draw.is(0.2) ? 86_400_000 : 3_600_000) : 20_000
  deployment.setClock(id, life, draw.between(-most, most))
}

function gatewayTrouble(deployment: Deployment, faults: Faults, note: Note): void {
  const kind = 'gateways die or are paused'
  const draw = faults.of(kind)
  const gatewayId = draw.oneOf(gatewayIds)
  const gateway = deployment.gateways.get(gatewayId)
  if (gateway === undefined) {
    if (draw.is(0.3)) deployment.startGateway(gatewayId)
  } else if (faults.strikes(kind, 0.06)) {
    const isDeath = draw.is(0.5)
    note(`gateway ${gatewayId} ${isDeath ? 'dies' : 'is paused'}`)
    if (isDeath) deployment.killGateway(gatewayId)
    else deployment.pause(gateway.life, draw.between(100, 15_000))
  } else if (!gateway.life.isPaused) clockTrouble(gatewayId, gateway.life, deployment, faults)
}
