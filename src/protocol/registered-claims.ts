/*
 * Names of claims that mean something already, so that no operator gives them another meaning: those of the
 * IANA registry "JSON Web Token Claims", and those of this server's answers.
 */

const registered = `
  iss sub aud exp nbf iat jti
  name given_name family_name middle_name nickname preferred_username profile picture website email email_verified
  gender birthdate zoneinfo locale phone_number phone_number_verified address updated_at
  azp nonce auth_time at_hash c_hash s_hash acr amr sub_jwk cnf
  sip_from_tag sip_date sip_callid sip_cseq_num sip_via_branch orig dest mky events toe txn rph sid vot vtm
  attest origid act scope client_id may_act jcard at_use_nbr div opt vc vp sph ace_profile cnonce exi
  roles groups entitlements token_introspection
  cdniv cdnicrit cdniip cdniuc cdniets cdnistt cdnistd sig_val_claims authorization_details verified_claims
  place_of_birth nationalities birth_family_name birth_given_name birth_middle_name salutation title msisdn
  also_known_as htm htu ath atc sub_id rcd rcdi crn msgi _claim_names _claim_sources
  rdap_allowed_purposes rdap_dnt_allowed geohash _sd ... _sd_alg sd_hash
  consumerPlmnId consumerSnpnId producerPlmnId producerSnpnId producerSnssaiList producerNsiList producerNfSetId
  producerNfServiceSetId sourceNfInstanceId analyticsIdList resOwnerId
  eat_nonce ueid sueids oemid hwmodel hwversion oemboot dbgstat location eat_profile submods uptime bootcount
  bootseed dloas swname swversion manifests measurements measres intuse
  vct vct#integrity status status_list ttl
`

/** Of the answers of /introspect (RFC 7662 §2.2) and /token, and of tokens that were exchanged. */
const ofAnswers =
  'active username token_type refresh_token_timeout authorization_expires_in session_client_id client_sid earlier_sessions'

/** Whether a claim of this name has a meaning already. */
export const registeredClaims: ReadonlySet<string> = new Set(
  `${registered} ${ofAnswers}`.split(/\s+/).filter(name => name !== ''),
)
