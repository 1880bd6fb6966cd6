/** The file that `node --cpu-prof` writes. */
interface CpuProfile {
  readonly nodes: readonly ProfileNode[]
  /** Of each sample the id of its node. */
  readonly samples: readonly number[]
  /** Of each sample the microseconds since the one before. */
  readonly timeDeltas: readonly number[]
}

interface ProfileNode {
  readonly id: number
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
  readonly children?: readonly number[]
}

interface Frame {
  readonly name: string
  readonly microseconds: number
  readonly callees: readonly Frame[]
}

const width = 1200
const rowHeight = 18
/** Narrower ones could not be seen, in pixels. */
const leastWidth = 0.5

/**
 * Time by stack of calls, as an SVG file: each box is as wide as the share of the time spent in it and what
 * it calls.
 */
export function drawFlameGraph(profile: CpuProfile): string {
  const root = withoutIdling(frameOf(profile))
  const boxes: string[] = []
  let depthMax = 0
  const draw = (frame: Frame, left: number, depth: number): void => {
    const boxWidth = (frame.microseconds / root.microseconds) * width
    if (boxWidth < leastWidth) return
    depthMax = Math.max(depthMax, depth)
    boxes.push(boxOf(frame, { left, depth, boxWidth, share: frame.microseconds / root.microseconds }))
    let at = left
    for (const callee of frame.callees) {
      draw(callee, at, depth + 1)
      at += (callee.microseconds / root.microseconds) * width
    }
  }
  draw(root, 0, 0)
  const height = (depthMax + 1) * rowHeight
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="monospace" font-size="11">`,
    '<title>Where the time of the server goes</title>',
    ...boxes,
    '</svg>\n',
  ].join('\n')
}

/** The tree of calls, equal stacks merged, widest first. */
function frameOf({ nodes, samples, timeDeltas }: CpuProfile): Frame {
  const byId = new Map(nodes.map(node => [node.id, node]))
  const own = new Map<number, number>()
  samples.forEach((id, i) => own.set(id, (own.get(id) ?? 0) + (timeDeltas[i] ?? 0)))
  const build = (node: ProfileNode): Frame => {
    const callees = (node.children ?? [])
      .flatMap(id => byId.get(id) ?? [])
      .map(build)
      .sort((a, b) => b.microseconds - a.microseconds)
    const inCallees = callees.reduce((sum, { microseconds }) => sum + microseconds, 0)
    const { functionName, url, lineNumber } = node.callFrame
    const place = url === '' ? '' : ` ${url.replace(/^.*\/(?:node_modules|dist)\//, '')}:${lineNumber + 1}`
    return {
      name: `${functionName || '(anonymous)'}${place}`,
      microseconds: (own.get(node.id) ?? 0) + inCallees,
      callees,
    }
  }
  const [root] = nodes
  if (!root) throw new Error('the profile is empty')
  return build(root)
}

function withoutIdling(root: Frame): Frame {
  const idle = root.callees.find(({ name }) => name.startsWith('(idle)'))
  if (!idle) return root
  return {
    ...root,
    microseconds: root.microseconds - idle.microseconds,
    callees: root.callees.filter(frame => frame !== idle),
  }
}

function boxOf(
  { name }: Frame,
  place: { readonly left: number; readonly depth: number; readonly boxWidth: number; readonly share: number },
): string {
  const { left, depth, boxWidth, share } = place
  const hue = name.includes('db/') ? 205 : name.includes('src/') ? 140 : name.includes('node:') ? 35 : 15
  const text = escape(name)
  const label = boxWidth > 60 ? escape(name.slice(0, Math.floor(boxWidth / 6.8))) : ''
  const top = depth * rowHeight
  return (
    `<g><title>${text} (${(share * 100).toFixed(1)} %)</title>` +
    `<rect x="${left.toFixed(1)}" y="${top}" width="${boxWidth.toFixed(1)}" height="${rowHeight - 1}" fill="hsl(${hue} 70% 75%)"/>` +
    `<text x="${(left + 3).toFixed(1)}" y="${top + 12}">${label}</text></g>`
  )
}

function escape(text: string): string {
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;')
}
