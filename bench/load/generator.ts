// The load generator's process: takes plans over IPC, one at a time, and answers each with its result.
import type { LoadPlan } from './load-plan.ts'
import { runPlan } from './run-plan.ts'

process.on('message', (plan) => {
  runPlan(plan as LoadPlan).then(
    (result) => process.send!({ result }),
    (error: unknown) => process.send!({ error: String(error) }),
  )
})
process.on('disconnect', () => process.exit(0))
process.send!({ ready: true })
