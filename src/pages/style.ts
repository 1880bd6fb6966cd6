import { contrast, distinctFrom, mix, readableOn } from '../values/colors.ts'

/**
 * The least contrasts. 4.5 is asked of text, and 3 of what is not (WCAG 2.2 §1.4.3, §1.4.11); links in the
 * operator's colour are dim on a dark page with no more than that.
 */
const [textContrast, borderContrast] = [5.5, 3]

const light = {
  page: '#f3f5f7',
  card: '#ffffff',
  line: '#dfe3e8',
  text: '#1b2027',
  quiet: '#59636f',
  field: '#ffffff',
  fieldLine: '#7b8794',
  problem: '#b3261e',
  problemBack: '#fdf1f0',
}

const dark: typeof light = {
  page: '#0f1216',
  card: '#181c22',
  line: '#2b323b',
  text: '#e8ebef',
  quiet: '#a3adb8',
  field: '#11151a',
  fieldLine: '#77828f',
  problem: '#ff9d94',
  problemBack: '#2c1a1a',
}

/** The style sheet of all pages, with the operator's colour in it. */
export function styleOf(accent: string): string {
  return joined(`${paletteOf(accent)}\n${rules}`)
}

/** The colours alone, in light and in dark, as variables. */
export function paletteOf(accent: string): string {
  return joined(`
:root{color-scheme:light dark;${variables(light, accent)}}
@media(prefers-color-scheme:dark){:root{${variables(dark, accent)}}}`)
}

const joined = (sheet: string) => sheet.replace(/\s*\n\s*/g, '')

function variables(palette: typeof light, accent: string): string {
  const [onAccent, isDark] = [readableOn(accent), palette === dark]
  const own = {
    accent,
    onAccent,
    // Towards the text on it would cost contrast, away from it gains some.
    accentHover: mix(accent, onAccent === '#ffffff' ? '#000000' : '#ffffff', 0.14),
    accentLine:
      contrast(accent, palette.card) >= borderContrast
        ? accent
        : distinctFrom(palette.card, accent, borderContrast),
    link: distinctFrom(palette.card, distinctFrom(palette.page, accent, textContrast), textContrast),
    shadow: isDark ? '0 1px 2px #0006' : '0 1px 2px #0d1b2a0f,0 12px 32px #0d1b2a12',
  }
  return Object.entries({ ...palette, ...own })
    .map(([name, value]) => `--${name}:${value}`)
    .join(';')
}

const rules = `
*{box-sizing:border-box}
[hidden]{display:none!important}
html{font:100%/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;-webkit-text-size-adjust:100%}
body{margin:0;min-height:100vh;min-height:100dvh;display:flex;flex-direction:column;align-items:center;justify-content:center;
padding:1.5rem min(1rem,4vw) 4rem;background:var(--page);color:var(--text);overflow-wrap:anywhere}
body>*{width:100%;max-width:26rem}
header{display:flex;align-items:center;justify-content:center;gap:.75rem;margin-bottom:1.25rem;font-weight:600}
header img{flex:none;max-height:2.5rem;max-width:10rem}
.mark{flex:none;display:grid;place-items:center;width:2.25rem;height:2.25rem;border:1px solid var(--accentLine);border-radius:.625rem;
background:var(--accent);
color:var(--onAccent);font-size:1.125rem}
main{padding:2rem;border:1px solid var(--line);border-radius:1rem;background:var(--card);box-shadow:var(--shadow)}
h1{margin:0 0 1.25rem;font-size:1.375rem;line-height:1.3;letter-spacing:-.01em;text-wrap:balance}
p{margin:0 0 1rem}
h1+p:not([role]){margin-top:-.5rem}
h1,h2,h3,label,button,.act{hyphens:auto;hyphenate-limit-chars:12 4 4}
bdi{hyphens:manual}
main>:last-child,form>:last-child{margin-bottom:0}
p bdi{font-weight:600}
code{font:.9375em/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
label{display:block;margin-bottom:.375rem;font-weight:600;font-size:.9375rem}
input:not([type=checkbox],[type=hidden]),select,textarea{
display:block;width:100%;min-height:2.75rem;margin-bottom:1.125rem;padding:.5rem .75rem;
border:1px solid var(--fieldLine);border-radius:.5rem;background:var(--field);color:inherit;font:inherit}
input[autocomplete=one-time-code]{font-size:1.125rem;font-variant-numeric:tabular-nums;letter-spacing:.12em}
input.usercode{font-size:1.125rem;letter-spacing:.12em;text-transform:uppercase}
p.usercode{margin:-.5rem 0 1rem;font:700 1.5rem/1.4 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;letter-spacing:.06em;
text-align:center}
dl+form{margin-top:1.25rem}
dl+p{margin:.75rem 0 .5rem}
input[readonly]{border-color:var(--line);background:var(--page);color:var(--quiet)}
.check{display:flex;align-items:center;gap:.625rem;min-height:2.75rem;margin:-.375rem 0 .75rem;font-weight:400}
.check input{flex:none;width:1.25rem;height:1.25rem;margin:0;accent-color:var(--accent)}
button,.act{display:block;width:100%;min-height:2.75rem;padding:.5rem 1rem;border:1px solid var(--accentLine);border-radius:.5rem;
background:var(--accent);color:var(--onAccent);font:inherit;font-weight:600;text-align:center;text-decoration:none;cursor:pointer}
button~button,.act+.act{margin-top:.75rem}
button:hover,.act:hover{background:var(--accentHover)}
.second{border-color:var(--fieldLine);background:transparent;color:var(--text)}
.second:hover{background:var(--page)}
.plain{border-color:transparent;color:var(--link);font-weight:400}
form>.plain:last-child{margin-bottom:-.75rem}
form:has(>.plain)+.other{margin-top:1rem}
.danger{border-color:var(--problem);color:var(--problem)}
.danger:hover{background:var(--problemBack)}
.removal summary{color:var(--problem)}
a{color:var(--link);text-underline-offset:.2em}
a:hover{text-decoration-thickness:2px}
.go{display:inline-block;padding:.75rem 0}
.other{display:flex;flex-wrap:wrap;justify-content:center;gap:0 1.5rem;margin:.5rem 0 -.75rem!important;text-align:center}
.other+.plain{margin-top:1rem}
:focus-visible{outline:3px solid var(--link);outline-offset:2px}
input:not([type=checkbox]):focus-visible,select:focus-visible,textarea:focus-visible{border-color:var(--link);outline-offset:-1px}
[role=alert]{margin-bottom:1.25rem;padding:.75rem 1rem;border-left:4px solid var(--problem);border-radius:.5rem;
background:var(--problemBack);color:var(--problem);font-weight:500}
.warning{padding:.75rem 1rem;border-left:4px solid var(--problem);border-radius:.5rem;background:var(--problemBack)}
[aria-invalid]{border-color:var(--problem)!important}
ul{margin:0 0 1.25rem;padding:0;border-bottom:1px solid var(--line);list-style:none}
li{position:relative;padding:.625rem 0 .625rem 1.75rem;border-top:1px solid var(--line)}
li::before{content:"";position:absolute;left:.25rem;top:1.0625rem;width:.75rem;height:.4375rem;border:solid var(--link);
border-width:0 0 2px 2px;transform:rotate(-45deg)}
h2{margin:1.5rem 0 .5rem;font-size:1.0625rem;line-height:1.3}
h3{margin:0 0 .25rem;font-size:1rem;line-height:1.4}
[role=status]{margin-bottom:1.25rem;padding:.75rem 1rem;border-left:4px solid var(--link);border-radius:.5rem;
background:var(--page);font-weight:500}
.rows>li{padding:.875rem 0}
.rows>li::before,.codes li::before{content:none}
.rows form{margin-top:.5rem}
.row{display:block;min-height:2.75rem;padding:.25rem 0;font-weight:600}
.row+.quiet{display:block;margin-top:-.75rem}
.rows>li>:first-child{margin-top:0}
.rows>li:has(>.row){padding:.5rem 0}
dl{display:grid;grid-template-columns:max-content 1fr;gap:0 .75rem;margin:0;font-size:.875rem}
dt{color:var(--quiet)}
dd{margin:0}
.rows .rows{margin:.5rem 0 0;padding-left:1rem;border-bottom:0}
.hint{margin:-.75rem 0 1.125rem;color:var(--quiet);font-size:.875rem}
.key{display:block;padding:.5rem 0;font-size:1.0625rem;letter-spacing:.04em;user-select:all}
.qr{display:block;width:100%;max-width:14rem;height:auto;margin:0 auto 1rem;border-radius:.5rem}
.codes{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(11rem,100%),1fr));
margin:0 0 1.25rem;padding:0;list-style:none;user-select:all}
.codes li{padding:.5rem 0}
li>dl{margin-top:.25rem}
.details dl{grid-template-columns:fit-content(50%) 1fr;overflow-wrap:anywhere}
.details dt bdi,.details dd bdi,.details strong bdi{display:inline-block;max-width:100%;overflow:clip;padding:0 .375rem;
border:1px solid var(--line);border-radius:.375rem;background:var(--page);white-space:break-spaces;font-weight:400;color:var(--text)}
.details dd>*+*{margin-left:.375rem}
.details b{font:.75em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;color:var(--problem)}
@media(max-width:24rem){dl{display:block}dd{margin-bottom:.25rem}}
@media print{header,form,.go,.act,footer{display:none}main{border:0;box-shadow:none}}
summary{min-height:2.75rem;padding:.625rem 0;color:var(--link);cursor:pointer}
fieldset{margin:0 0 1.125rem;padding:0;border:0}
legend{margin-bottom:.75rem;padding:0;font-weight:600;font-size:.9375rem}
textarea.token{resize:none;font:.9375rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}
details{margin-bottom:.75rem}
.quiet,footer{color:var(--quiet);font-size:.875rem}
.stranger{margin:0 0 1.25rem;padding:.75rem 1rem;border-left:4px solid var(--problem);border-radius:.5rem;background:var(--problemBack)}
.note{margin-top:1.25rem;padding-top:1rem;border-top:1px solid var(--line)}
footer{margin-top:1rem;text-align:center}
@media(max-width:30rem){main{padding:1.5rem min(1.25rem,5vw)}}
@media(prefers-reduced-motion:no-preference){button,.act,input{transition:background-color .12s,border-color .12s}}
`
