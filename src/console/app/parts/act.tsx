import type { ComponentChildren, RefObject } from 'preact'
import { useLayoutEffect, useRef, useState } from 'preact/hooks'
import type { Job } from '../api/api.ts'
import type { Problem } from '../api/problem.ts'
import { isConnected, noConnection } from '../api/send.ts'
import { asProblem } from '../api/use-answer.ts'
import { draftHere, forgetDraft } from '../auth/log-in.ts'
import { closeAct, openAct, query } from '../router.ts'
import { fillIn } from './draft.ts'
import { JobProgress } from './job-progress.tsx'
import { ProblemNote } from './problem-note.tsx'
import { speak } from './speak.ts'

/** Opens a dialog of this view. It is in the address, so that it is open again after a log-in. */
export function ActButton({ act, children, isDanger = false }: ActButtonProps) {
  return (
    <button class={isDanger ? 'second danger' : 'second'} onClick={() => openAct(act)}>
      {children}
    </button>
  )
}

interface ActButtonProps {
  readonly act: string
  readonly children: ComponentChildren
  readonly isDanger?: boolean
}

interface ActProps {
  /** Its name in the address. */
  readonly act: string
  readonly title: string
  /** What will happen, and the fields of the form. */
  readonly children?: ComponentChildren
  /** The words of the button that does it. */
  readonly does: string
  readonly isDanger?: boolean
  /** Does it. Its answer is told, and a job that goes on is shown; markup stays until it is closed. */
  readonly run: (form: FormData) => Promise<string | Job | ActResult>
  /** When it is done, or something was found to have changed. */
  readonly onDone?: () => void
}

/** Something that has to be seen before the dialog closes, such as a secret. */
export interface ActResult {
  readonly shown: ComponentChildren
}

/** A dialog that says what will happen before it does. */
export function Act(props: ActProps) {
  return query.value.get('act') === props.act ? <OpenAct {...props} /> : null
}

function OpenAct({ title, children, does, isDanger = false, run, onDone = () => {} }: ActProps) {
  const [isBusy, setBusy] = useState(false)
  const [problem, setProblem] = useState<Problem>()
  const [job, setJob] = useState<Job>()
  const [result, setResult] = useState<ActResult>()
  const { dialog, cancel, close } = useDialog(isDanger, closeAct)
  // Only when it is gone, in whatever way: the list may have no place for this dialog any more.
  useLayoutEffect(() => (result ? () => onDone() : undefined), [result])
  const note = useDraft(dialog)

  const perform = async (event: SubmitEvent) => {
    event.preventDefault()
    if (isBusy) return
    const form = new FormData(event.currentTarget as HTMLFormElement)
    setBusy(true)
    setProblem(undefined)
    try {
      const outcome = await run(form)
      if (typeof outcome === 'string') {
        onDone()
        close()
        speak(outcome)
      } else if ('shown' in outcome) setResult(outcome)
      else {
        onDone()
        setJob(outcome)
      }
    } catch (error) {
      setProblem(asProblem(error))
    }
    setBusy(false)
  }
  const isChanged = problem?.code === 'changed'
  return (
    <dialog
      ref={dialog}
      aria-labelledby="act-title"
      onCancel={event => {
        // At once, as the event of a close comes late: the same act could have been opened again by then.
        event.preventDefault()
        close()
      }}
      onClose={close}
    >
      <form onSubmit={event => void perform(event)}>
        <h2 id="act-title">{title}</h2>
        <Notes note={note} isWaiting={isBusy} problem={problem} />
        {result ? result.shown : job ? <JobProgress job={job} onEnd={onDone} /> : children}
        <div class="acts">
          {!job && !result && !isChanged && (
            <button class={isDanger ? 'danger' : ''} disabled={isBusy}>
              {isBusy ? 'Working…' : does}
            </button>
          )}
          {isChanged && (
            <button type="button" onClick={() => (onDone(), close())}>
              Look at it
            </button>
          )}
          <button type="button" class="second" ref={cancel} onClick={close}>
            {job || result ? 'Close' : 'Cancel'}
          </button>
        </div>
      </form>
    </dialog>
  )
}

interface NotesProps {
  readonly note: string | undefined
  readonly isWaiting: boolean
  readonly problem: Problem | undefined
}

/** What there is to know before it is done, or done again. */
function Notes({ note, isWaiting, problem }: NotesProps) {
  return (
    <>
      {note !== undefined && (
        <p class="warning" role="alert">
          {note}
        </p>
      )}
      {isWaiting && !isConnected.value && (
        <p class="warning" role="alert">
          {noConnection}
        </p>
      )}
      {problem && <ProblemNote problem={problem} />}
    </>
  )
}

/** Opens a dialog with the view, and closes it once; then the focus is back where it was. */
function useDialog(isDanger: boolean, onClose: () => void) {
  const dialog = useRef<HTMLDialogElement>(null)
  const cancel = useRef<HTMLButtonElement>(null)
  const isOpen = useRef(true)
  useLayoutEffect(() => {
    const { current } = dialog
    current?.showModal()
    // Enter alone does nothing that cannot be taken back.
    if (isDanger && !current?.querySelector('input, textarea, select')) cancel.current?.focus()
    // The back button takes it away too: what is done by then closes no other one.
    return () => void (isOpen.current = false)
  }, [])
  const close = () => {
    if (!isOpen.current) return
    isOpen.current = false
    dialog.current?.close()
    onClose()
  }
  return { dialog, cancel, close }
}

/** Puts back what was typed before a log-in, once its fields are there; the note says what was done. */
function useDraft(dialog: RefObject<HTMLDialogElement | null>): string | undefined {
  const [note, setNote] = useState<string>()
  useLayoutEffect(() => {
    const draft = draftHere()
    const form = dialog.current?.querySelector('form')
    const said = draft && form ? fillIn(form, draft) : undefined
    if (said === undefined) return
    forgetDraft()
    setNote(said)
  })
  return note
}
