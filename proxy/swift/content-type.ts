/**
 * Content types by file name, for objects that come without one (or ask by X-Detect-Content-Type): the common part of
 * what Python's mimetypes knows, which Swift asks.
 */
const TYPES: Readonly<Record<string, string>> = {
  '7z': 'application/x-7z-compressed',
  aac: 'audio/aac',
  ai: 'application/postscript',
  aif: 'audio/x-aiff',
  aiff: 'audio/x-aiff',
  apk: 'application/vnd.android.package-archive',
  avi: 'video/x-msvideo',
  avif: 'image/avif',
  bin: 'application/octet-stream',
  bmp: 'image/bmp',
  c: 'text/x-csrc',
  cpio: 'application/x-cpio',
  cpp: 'text/x-c++src',
  css: 'text/css',
  csv: 'text/csv',
  dll: 'application/octet-stream',
  doc: 'application/msword',
  docx: 'application/vnd.openxmlformats-officedocument.wordprocessingml.document',
  eml: 'message/rfc822',
  eot: 'application/vnd.ms-fontobject',
  eps: 'application/postscript',
  epub: 'application/epub+zip',
  exe: 'application/octet-stream',
  flac: 'audio/flac',
  flv: 'video/x-flv',
  gif: 'image/gif',
  h: 'text/x-chdr',
  heic: 'image/heic',
  htm: 'text/html',
  html: 'text/html',
  ico: 'image/vnd.microsoft.icon',
  ics: 'text/calendar',
  iso: 'application/x-iso9660-image',
  jar: 'application/java-archive',
  java: 'text/x-java',
  jpe: 'image/jpeg',
  jpeg: 'image/jpeg',
  jpg: 'image/jpeg',
  js: 'text/javascript',
  json: 'application/json',
  jsonld: 'application/ld+json',
  latex: 'application/x-latex',
  m3u: 'audio/mpegurl',
  m3u8: 'application/vnd.apple.mpegurl',
  m4a: 'audio/mp4',
  m4v: 'video/mp4',
  md: 'text/markdown',
  mht: 'message/rfc822',
  mid: 'audio/midi',
  midi: 'audio/midi',
  mjs: 'text/javascript',
  mkv: 'video/x-matroska',
  mov: 'video/quicktime',
  mp2: 'audio/mpeg',
  mp3: 'audio/mpeg',
  mp4: 'video/mp4',
  mpeg: 'video/mpeg',
  mpg: 'video/mpeg',
  odp: 'application/vnd.oasis.opendocument.presentation',
  ods: 'application/vnd.oasis.opendocument.spreadsheet',
  odt: 'application/vnd.oasis.opendocument.text',
  ogg: 'audio/ogg',
  ogv: 'video/ogg',
  opus: 'audio/opus',
  otf: 'font/otf',
  parquet: 'application/vnd.apache.parquet',
  pdf: 'application/pdf',
  pl: 'text/x-perl',
  png: 'image/png',
  ppm: 'image/x-portable-pixmap',
  ppt: 'application/vnd.ms-powerpoint',
  pptx: 'application/vnd.openxmlformats-officedocument.presentationml.presentation',
  ps: 'application/postscript',
  psd: 'image/vnd.adobe.photoshop',
  py: 'text/x-python',
  rar: 'application/vnd.rar',
  rdf: 'application/rdf+xml',
  rpm: 'application/x-rpm',
  rst: 'text/x-rst',
  rtf: 'application/rtf',
  sh: 'application/x-sh',
  sql: 'application/sql',
  svg: 'image/svg+xml',
  swf: 'application/x-shockwave-flash',
  tar: 'application/x-tar',
  tex: 'application/x-tex',
  tif: 'image/tiff',
  tiff: 'image/tiff',
  toml: 'application/toml',
  torrent: 'application/x-bittorrent',
  ts: 'video/mp2t',
  tsv: 'text/tab-separated-values',
  ttf: 'font/ttf',
  txt: 'text/plain',
  vcf: 'text/vcard',
  wasm: 'application/wasm',
  wav: 'audio/x-wav',
  weba: 'audio/webm',
  webm: 'video/webm',
  webmanifest: 'application/manifest+json',
  webp: 'image/webp',
  wmv: 'video/x-ms-wmv',
  woff: 'font/woff',
  woff2: 'font/woff2',
  xhtml: 'application/xhtml+xml',
  xls: 'application/vnd.ms-excel',
  xlsx: 'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet',
  xml: 'application/xml',
  xsl: 'application/xml',
  yaml: 'application/yaml',
  yml: 'application/yaml',
  zip: 'application/zip',
}

/** Endings that say how, not what: the one before them counts. */
const ENCODINGS = new Set(['gz', 'bz2', 'xz', 'br', 'z'])
/** Short for a tar and an encoding. */
const TAR_ENDINGS = new Set(['tgz', 'taz', 'tz', 'tbz2', 'txz'])

const UNKNOWN = 'application/octet-stream'

/** The type that the object's name suggests; `application/octet-stream` if it suggests none. */
export function contentTypeOf(objectName: string): string {
  const start = objectName.lastIndexOf('/') + 1
  // Most names of small objects have no ending at all.
  if (!objectName.includes('.', start)) return UNKNOWN
  const name = objectName.slice(start)
  const endings = name.split('.').slice(1)
  const last = endings.pop()?.toLowerCase()
  if (last === undefined) return UNKNOWN
  if (TAR_ENDINGS.has(last)) return TYPES.tar!
  const ending = ENCODINGS.has(last) ? endings.pop()?.toLowerCase() : last
  return ending !== undefined && Object.hasOwn(TYPES, ending) ? TYPES[ending]! : UNKNOWN
}
