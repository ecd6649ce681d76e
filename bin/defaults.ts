/** Where `npm start` keeps everything: beside the checkout's code, where git ignores it. */
export const DEFAULT_DATA = './data'
export const DEFAULT_HOST = '127.0.0.1'
