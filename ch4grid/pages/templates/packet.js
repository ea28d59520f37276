// Packets: data files beside the page, loaded as scripts because a page opened from a disk may not fetch files.
// They are written by ch4grid/pages/packets.py.
const ch4grid = { waiting: new Map() };
window.ch4grid = ch4grid;

ch4grid.receive = (name, packet) => {
  const taker = ch4grid.waiting.get(name);
  ch4grid.waiting.delete(name);
  if (taker) decoded(packet).then(taker.resolve, taker.reject);
};

// The fields of a packet by name: typed arrays, last axis fastest. The most recently used stay in memory.
ch4grid.loader = (folder, keep) => {
  const known = new Map();
  return (name) => {
    const found = known.get(name) || requested(folder, name);
    known.delete(name);
    known.set(name, found);
    found.catch(() => known.delete(name));
    if (known.size > keep) known.delete(known.keys().next().value);
    return found;
  };
};

function requested(folder, name) {
  return new Promise((resolve, reject) => {
    ch4grid.waiting.set(name, { resolve, reject });
    const script = document.createElement("script");
    script.src = `${folder}/${name}.js`;
    script.onload = () => script.remove();
    script.onerror = () => {
      script.remove();
      reject(new Error(`${folder}/${name}.js is missing: the folder ${folder} belongs beside this page.`));
    };
    document.head.append(script);
  });
}

async function decoded(packet) {
  if (!("DecompressionStream" in window)) throw new Error("This browser is too old to unpack the maps.");
  const stream = new Blob([unlettered(packet.data)]).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const fields = {};
  let start = 0;
  for (const field of packet.fields) {
    const count = field.shape.reduce((product, n) => product * n, 1);
    const size = Number(field.kind[1]);
    const numbers = summed(unshuffled(bytes, start, count, size), field.shape.at(-1) || 1);
    fields[field.name] = valued(numbers, field.kind);
    start += count * size;
  }
  return fields;
}

function unlettered(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length);
  for (let i = 0; i < bytes.length; i += 1) bytes[i] = letters.charCodeAt(i);
  return bytes;
}

// Bytes lie plane by plane, the lowest of all numbers first.
function unshuffled(bytes, start, count, size) {
  const numbers = new { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array }[size](count);
  for (let plane = 0; plane < size; plane += 1) {
    const from = start + plane * count;
    const shift = 8 * plane;
    for (let i = 0; i < count; i += 1) numbers[i] |= bytes[from + i] << shift;
  }
  return numbers;
}

// Differences along the last axis; the typed array wraps around as the writer's integers do.
function summed(numbers, length) {
  for (let start = 0; start < numbers.length; start += length) {
    for (let i = start + 1; i < start + length; i += 1) numbers[i] += numbers[i - 1];
  }
  return numbers;
}

function valued(numbers, kind) {
  if (kind === "f4") return new Float32Array(numbers.buffer);
  if (kind !== "b2") return numbers;
  const whole = new Uint32Array(numbers.length);
  for (let i = 0; i < whole.length; i += 1) whole[i] = numbers[i] << 16;
  return new Float32Array(whole.buffer);
}
