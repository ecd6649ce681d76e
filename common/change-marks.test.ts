import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import t from 'tap'
import { ChangeMarks } from './change-marks.ts'

t.test('a mark is current until its name is changed', async (t) => {
  const marks = new ChangeMarks()
  const mark = marks.mark('AUTH_test/c')
  t.ok(marks.isCurrent(mark))
  marks.note('AUTH_test/other')
  t.ok(marks.isCurrent(mark), 'another name, another counter')
  marks.note('AUTH_test/c')
  t.notOk(marks.isCurrent(mark))
  t.ok(marks.isCurrent(marks.mark('AUTH_test/c')), 'a new mark is')
})

t.test('a change in one thread ends the marks of another', async (t) => {
  const memory = ChangeMarks.memory()
  const marks = new ChangeMarks(memory)
  const { counter, count } = marks.mark('AUTH_test/ünï')
  t.equal(count, 0)
  const code = `const { workerData } = require('node:worker_threads')
    Atomics.add(new Int32Array(workerData.memory), workerData.counter, 1)`
  const worker = new Worker(code, { eval: true, workerData: { memory, counter } })
  await once(worker, 'exit')
  t.notOk(marks.isCurrent({ counter, count }))
  t.ok(new ChangeMarks().isCurrent({ counter, count }), 'but not those of other memory')
})
