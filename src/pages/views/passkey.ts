import type {
  PublicKeyCredentialCreationOptionsJSON,
  PublicKeyCredentialRequestOptionsJSON,
} from '@simplewebauthn/server'
import { constantMarkup, html, type Html } from '../html.ts'
import { ownForm, type Frame, type Parameters } from '../layout.ts'
import { sourceOf } from '../look.ts'

/**
 * The script of all passkeys: the element before it says what to do. It reads and writes base64url in options
 * and answers itself, since browsers that have passkeys need not have the functions for that, and the
 * substitutes of password managers have them least of all. Each answer is sent as `passkey` with the form
 * that the button is in. A button that is pressed ends what autofill waits for; a person who takes no passkey
 * then has the form as before, with autofill.
 */
const script = `
(()=>{
const P=window.PublicKeyCredential,b=document.currentScript.previousElementSibling;
if(!P)return;
const o=JSON.parse(b.dataset.passkey),f=b.form,
tell=async(name,what)=>{try{await P[name]?.(what)}catch{}};
if(o.accepted)return tell('signalAllAcceptedCredentials',o.accepted);
if(o.unknown)tell('signalUnknownCredential',{rpId:o.get.rpId,credentialId:o.unknown});
const bytes=t=>Uint8Array.from(atob(t.replace(/-/g,'+').replace(/_/g,'/')),c=>c.charCodeAt()),
text=a=>btoa(String.fromCharCode(...new Uint8Array(a))).replace(/[+]/g,'-').replace(/[/]/g,'_').replace(/=/g,''),
publicKey=o.create||o.get,
withId=c=>({...c,id:bytes(c.id)});
publicKey.challenge=bytes(publicKey.challenge);
if(o.create)publicKey.user=withId(publicKey.user);
for(const list of ['allowCredentials','excludeCredentials'])publicKey[list]=publicKey[list]?.map(withId);
let said,last;
const ask=async more=>{
last?.abort();
const mine=last=new AbortController;
if(!more)said?.remove();
try{
const c=await navigator.credentials[o.create?'create':'get']({publicKey,signal:mine.signal,...more}),response={};
for(const name of ['clientDataJSON','attestationObject','authenticatorData','signature','userHandle'])
if(c.response[name])response[name]=text(c.response[name]);
response.transports=c.response.getTransports?.();
const i=document.createElement('input');
i.type='hidden';
i.name='passkey';
i.value=JSON.stringify({id:c.id,rawId:c.id,type:c.type,response});
f.append(i);
f.submit()
}catch(e){
if(more||mine!==last)return;
said=document.createElement('p');
said.setAttribute('role','alert');
said.textContent=e.name==='InvalidStateError'?o.present:o.none;
b.before(said);
autofill()
}
},
autofill=async()=>{
if(o.autofill&&await P.isConditionalMediationAvailable?.())ask({mediation:'conditional'})
};
if(o.create){
f.onsubmit=e=>{e.preventDefault();ask()};
f.querySelector('[data-none]').remove()
}else b.onclick=()=>ask();
b.hidden=false;
autofill()
})()`.replaceAll('\n', '')

/** The source of the script in a Content-Security-Policy. */
export const passkeyScriptSource: string = sourceOf(script)

const element = html`<script>${constantMarkup(script)}</script>`

/** The form of the log-in, or of the second factor, has the button; `passkey` comes back with it. */
export interface PasskeyButtonData {
  readonly options: PublicKeyCredentialRequestOptionsJSON
  /** Whether the browser offers passkeys by autofill too: where an input has `autocomplete` `webauthn`. */
  readonly isAutofill: boolean
  /** A passkey that is unknown here, in base64url, of which the browser is told; null for none. */
  readonly unknown: string | null
}

/**
 * The button, which is seen where the browser has passkeys, and the script. The page is shown with
 * `script: 'passkey'` (`ShowOptions`).
 */
export function passkeyButton({ language }: Frame, data: PasskeyButtonData): Html {
  const { options, isAutofill, unknown } = data
  const { use, notUsed } = language.texts.passkey
  const what = {
    get: options,
    none: notUsed,
    ...(isAutofill && { autofill: true }),
    ...(unknown !== null && { unknown }),
  }
  return html`<button class="second" type="button" data-passkey="${JSON.stringify(what)}" hidden>${use}</button>
${element}`
}

export interface PasskeySetUpData {
  /** Where the answer goes: a path of ours. */
  readonly path: string
  /** Fields that go with it. */
  readonly hidden: Parameters
  /** What it is to be called, as typed before. */
  readonly name: string
  readonly options: PublicKeyCredentialCreationOptionsJSON
}

/** A form with `name`, which makes a passkey and sends it as `passkey`. Shown with `script: 'passkey'`. */
export function passkeySetUp(frame: Frame, { path, hidden, name, options }: PasskeySetUpData): Html {
  const texts = frame.language.texts.passkey
  const what = { create: options, none: texts.notMade, present: texts.present }
  return html`${ownForm(
    frame,
    path,
    hidden,
    html`<p data-none>${texts.impossible}</p>
<label for="passkey-name">${texts.name}</label>
<input id="passkey-name" name="name" value="${name}" maxlength="60" autocomplete="off" aria-describedby="passkey-name-why">
<p id="passkey-name-why" class="quiet">${texts.nameWhy}</p>
<button type="submit" data-passkey="${JSON.stringify(what)}" hidden>${texts.make}</button>
${element}`,
  )}`
}

/** What tells the browser which passkeys of a user are good here. Shown with `script: 'passkey'`. */
export interface PasskeySignalData {
  readonly rpId: string
  /** In base64url, as all ids here. */
  readonly userId: string
  readonly allAcceptedCredentialIds: readonly string[]
}

/** Not seen: browsers stop offering what was removed here. */
export function passkeySignal(accepted: PasskeySignalData): Html {
  return html`<p data-passkey="${JSON.stringify({ accepted })}" hidden></p>
${element}`
}
