/**
 * Loaded before each file of tests: what a test has opened is closed before its folder is removed. tap does it the other way round where
 * `testdir()` was called before `teardown()`, and a store that makes its next segment meanwhile keeps the folder from being removed,
 * is never closed, and the file hangs. Whatever registers first ends first.
 */
// Processes that a test forks get its flags, too: in them tap would talk over the channel.
if (process.argv[1]?.endsWith('.test.ts') === true) {
  const { t } = await import('tap')
  const nothing = () => {}
  t.teardown(nothing)
  t.beforeEach((t) => {
    t.teardown(nothing)
  })
}

export {}
