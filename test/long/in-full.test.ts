/*
 * Whatever takes long, as often as it says: `npm test` does a share of it (test/helpers/runs.ts). One after
 * the other, since they measure times.
 */
process.env['TEST_IN_FULL'] = '1' // before they are loaded
for (const file of [
  ...['server/imported-names', 'server/log-in-timing', 'server/recovery-timing', 'server/verifiers'],
  'server/stream-stories',
  ...['processes/process', 'processes/back-channel-logout', 'processes/push', 'processes/streams'],
  'postgres/faults',
  ...['journeys/account', 'journeys/log-in', 'journeys/pages', 'journeys/console', 'journeys/console-views'],
  'journeys/package',
])
  await import(`../${file}.test.ts`)
