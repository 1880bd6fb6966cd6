/*
 * Whatever takes long, as often as it says: `npm test` does a quarter of it (test/helpers/runs.ts). One after
 * the other, since they measure times.
 */
process.env['TEST_IN_FULL'] = '1' // before they are loaded
for (const file of ['imported-names', 'log-in-timing', 'recovery-timing', 'verifiers'])
  await import(`../server/${file}.test.ts`)
