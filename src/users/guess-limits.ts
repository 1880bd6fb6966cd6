import type { BucketLimit } from '../load/buckets.ts'

/**
 * The points that the bucket of a name holds. A user has two names at the most, the mail address being one,
 * and a bucket that both shared would tell strangers that they belong together. With that of the devices, of
 * which a user has one, it is 100.
 */
const accountPoints = 40

/**
 * Of one name, by all who have not logged in with it before. At its steady rate that is 144 guesses a day,
 * however many attackers and addresses there are.
 */
export const strangersLimit: BucketLimit = { points: 20, everySeconds: 600, holds: accountPoints }

/**
 * Of one name in all: the same bucket, which from addresses of earlier log-ins may be filled higher. So
 * strangers, who fill it to 20 at the most, leave room for the owner. By both names, and with device tokens,
 * 100 guesses at a user are looked at, which is what NIST SP 800-63B-4 §3.2.2 allows in a row; then some a
 * day, where that document would lock the owner out.
 */
export const accountLimit: BucketLimit = { points: accountPoints, everySeconds: strangersLimit.everySeconds }

/** Of one account from one source. */
export const pairLimit: BucketLimit = { points: 10, everySeconds: 60 }

/**
 * From one source, whatever the accounts: a large office, all of whose people mistype on the same morning,
 * stays within.
 */
export const sourceLimit: BucketLimit = { points: 200, everySeconds: 20 }

/** With one device token, which only a log-in of that account hands out. */
export const deviceLimit: BucketLimit = { points: 10, everySeconds: 300 }

/**
 * With all device tokens of one user, by whichever name: more tokens are no more guesses, and these count
 * only here.
 */
export const devicesLimit: BucketLimit = { points: 20, everySeconds: 300 }

/**
 * Of the codes that stand beside one user's password. Of a million codes three count at a time, so at the
 * steady rate somebody who has the password guesses for years.
 */
export const codeLimit: BucketLimit = { points: 5, everySeconds: 600 }

/**
 * Of mails that say that somebody has shown a user's password, and no second factor: one a day for each
 * source, so that a place where the owner gave up hides no other.
 */
export const halfLogInLimit: BucketLimit = { points: 1, everySeconds: 86_400 }

/** And of one user, whatever the sources. */
export const halfLogInsLimit: BucketLimit = { points: 3, everySeconds: 86_400 }

/** Of one client's secret. A right one always passes: it has 256 random bits. So no client is locked out. */
export const clientSecretLimit: BucketLimit = { points: 50, everySeconds: 10 }

/** Of mails that anybody can have sent to one address: none while the one before is new. */
export const newMailLimit: BucketLimit = { points: 1, everySeconds: 120 }

/** And of those five, and then five an hour, however many ask for them. */
export const mailsLimit: BucketLimit = { points: 5, everySeconds: 720 }

/**
 * Of mails of one kind that anybody can have sent, to all addresses and from all sources together: who has
 * many of both spoils the name that the SMTP server has with others. Each kind has its own, so that a flood
 * of sign-ups keeps no user from a reset.
 */
export function allMailsLimit(perHour: number): BucketLimit {
  return { points: perHour, everySeconds: Math.ceil(3600 / perHour) }
}

/** How often it is told that there were too many. */
export const tellOfMailsLimit: BucketLimit = { points: 1, everySeconds: 600 }

/** From one source, whatever the addresses: an office on its first morning stays within. */
export const mailSourceLimit: BucketLimit = { points: 30, everySeconds: 120 }

/** Of passwords that are looked at with a mailed link that was used: a form that was sent twice needs one. */
export const usedLinkLimit: BucketLimit = { points: 3, everySeconds: 86_400 }

/** Of user names that somebody tries who signs up, to see whether they can be had. */
export const triedNamesLimit: BucketLimit = { points: 20, everySeconds: 180 }

/** And from one source, since the owner of a domain has as many addresses, and links, as wished. */
export const triedNamesSourceLimit: BucketLimit = { points: 60, everySeconds: 60 }

/** Of codes of devices that are typed in one browser, which mistypes some. */
export const userCodeLimit: BucketLimit = { points: 10, everySeconds: 60 }

/**
 * And from one source, whatever the browsers. In the ten minutes for which a code is good that is 70 guesses
 * at one of 5 * 10^11: with ten thousand devices waiting, one source in 700,000 would find any of them.
 */
export const userCodeSourceLimit: BucketLimit = { points: 60, everySeconds: 60 }

/**
 * Of changes that one user asks for at the account page: each may send a mail, and cost hashes. So the one
 * notice that matters is not buried among others, and the server does not send mails without end.
 */
export const changesLimit: BucketLimit = { points: 60, everySeconds: 60 }
