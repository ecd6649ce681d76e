// A process that does one task with a device and reports over IPC.
import { type DeviceTask, runDeviceTask } from './device-tasks.ts'

process.once('message', (task) => {
  runDeviceTask(task as DeviceTask, (result) => process.send!(result)).then(
    () => process.exit(0),
    (error: unknown) => {
      console.error(error)
      process.exit(1)
    },
  )
})
