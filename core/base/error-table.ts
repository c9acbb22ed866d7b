/**
 * Every outcome and error of Busbar, one row each. `id` travels in envelopes and is never reused;
 * `duis` is the response code of the GB interface that says it best (../shared/domain
 * alerts-and-codes: the meaning of E44 to E51 is of low confidence, so it stands here, as data);
 * `fault` is who must act. Prose is made from the row and never parsed.
 */
export type Fault = 'none' | 'party' | 'meter' | 'wan' | 'broker' | 'operator'
export type Retry = 'never' | 'later' | 'now'
export type GrpcStatus =
  | 'OK'
  | 'INVALID_ARGUMENT'
  | 'DEADLINE_EXCEEDED'
  | 'NOT_FOUND'
  | 'ALREADY_EXISTS'
  | 'PERMISSION_DENIED'
  | 'RESOURCE_EXHAUSTED'
  | 'FAILED_PRECONDITION'
  | 'ABORTED'
  | 'OUT_OF_RANGE'
  | 'UNIMPLEMENTED'
  | 'INTERNAL'
  | 'UNAVAILABLE'
  | 'UNAUTHENTICATED'

export type ErrorRow = {
  readonly id: number
  readonly duis: string
  readonly fault: Fault
  readonly retry: Retry
  readonly grpc: GrpcStatus
  /** What happened, one sentence. */
  readonly meaning: string
  /** What to do about it, one sentence. */
  readonly action: string
}

// oxlint-disable-next-line max-params -- the columns of the table below, which has one row a line
const row = (
  id: number,
  duis: string,
  fault: Fault,
  retry: Retry,
  grpc: GrpcStatus,
  meaning: string,
  action: string,
): ErrorRow => ({ id, duis, fault, retry, grpc, meaning, action })

export const errorTable = {
  // ── good ends ──
  OK: row(0, 'I0', 'none', 'never', 'OK', 'The device did what was asked.', 'Nothing.'),
  REQUEST_ACCEPTED: row(1, 'I99', 'none', 'never', 'OK', 'The request is on disk and will be carried out.', 'Wait for the response at the output gateway.'),

  // ── party ──
  PARTY_HEADER_MISSING: row(10, 'E1', 'party', 'never', 'UNAUTHENTICATED', 'The call names no party.', 'Send your EUI-64 in the header x-busbar-party.'),
  PARTY_HEADER_MALFORMED: row(11, 'E1', 'party', 'never', 'UNAUTHENTICATED', 'The header x-busbar-party is not an EUI-64.', 'Send sixteen hexadecimal digits, bare or with - between octets.'),
  PARTY_UNKNOWN: row(12, 'E1', 'party', 'never', 'PERMISSION_DENIED', 'No party with this EUI-64 is registered here.', 'Ask the operator to add the party: `busbar parties add`.'),
  PARTY_ORIGINATOR_MISMATCH: row(13, 'E1', 'party', 'never', 'PERMISSION_DENIED', 'The originator of the RequestID is not the party that sent it.', 'Use your own EUI-64 as originator.'),
  PARTY_SUSPENDED: row(15, 'E3', 'party', 'never', 'PERMISSION_DENIED', 'The party is suspended.', 'Ask the operator why; deliveries are kept, and come when the party is resumed.'),
  PARTY_RECORD_MALFORMED: row(16, 'E48', 'operator', 'never', 'INVALID_ARGUMENT', 'What is to be changed of a party is not valid.', 'Correct what is named; see `busbar parties add --help`.'),
  PARTY_CHANGED_MEANWHILE: row(18, 'E49', 'operator', 'now', 'ABORTED', 'The party was changed since this change was made.', 'Look at the party, `busbar parties list`, and change it again when it is still needed.'),
  PARTY_LIMIT_EXCEEDED: row(17, 'E57', 'operator', 'never', 'RESOURCE_EXHAUSTED', 'The directory holds as many parties as it may.', 'Remove parties that are not used any more.'),
  PARTY_ROLE_INELIGIBLE: row(14, 'E2', 'party', 'never', 'PERMISSION_DENIED', "The party's role may not send this service reference variant.", 'See eligible roles in the catalogue; use the EUI-64 of another role.'),

  PARTY_HEADER_MISMATCH: row(300, 'E1', 'party', 'never', 'PERMISSION_DENIED', 'The header x-busbar-party names another party than the certificate of the connection.', 'Leave the header out, or connect with the certificate of that party: a connection acts for one party.'),
  PARTY_CERTIFICATE_MISSING: row(301, 'E1', 'party', 'never', 'UNAUTHENTICATED', 'The connection has no certificate of a party.', 'Connect with the certificate and key of the party: `--pki FOLDER` of the commands, `credentials` of the SDK.'),
  PARTY_CERTIFICATE_ROLE_MISMATCH: row(308, 'E1', 'party', 'never', 'PERMISSION_DENIED', 'The role code of the certificate is not one of the role of this party.', 'Have a certificate issued for the role that the party has in the directory.'),
  PARTY_CERTIFICATE_INVALID: row(302, 'E1', 'party', 'never', 'UNAUTHENTICATED', 'The certificate of the connection is not in the profile of parties.', 'Have one issued in the profile, core/docs/operating/certificates.md: `busbar pki issue`.'),
  PARTY_CERTIFICATE_UNTRUSTED: row(303, 'E1', 'party', 'never', 'UNAUTHENTICATED', 'The certificate of the connection was not issued by an authority that this Busbar trusts.', 'Use the certificate that was issued for this Busbar; the operator trusts a further authority by adding it to ca.crt.'),
  PARTY_CERTIFICATE_EXPIRED: row(304, 'E1', 'party', 'never', 'UNAUTHENTICATED', 'The certificate of the connection has expired.', 'Have a new one issued: `busbar pki issue`.'),
  PARTY_CERTIFICATE_NOT_YET_VALID: row(305, 'E1', 'party', 'later', 'UNAUTHENTICATED', 'The certificate of the connection is not valid yet.', 'Wait until then, or check the clocks.'),
  PARTY_CERTIFICATE_REVOKED: row(306, 'E1', 'party', 'never', 'UNAUTHENTICATED', 'The certificate of the connection was revoked.', 'Ask the operator why, and have a new one issued.'),
  PARTY_CERTIFICATE_UNPINNED: row(307, 'E1', 'party', 'never', 'UNAUTHENTICATED', 'The key of the certificate is not one that is pinned for this party.', 'Use the pinned key; the operator changes the pins of the party.'),
  PARTY_REVOCATION_UNKNOWN: row(309, 'E57', 'operator', 'later', 'UNAVAILABLE', 'The revocation list is out of date, so nobody knows whether the certificate was revoked.', 'Operator: put a current list into crl.pem, for example with `busbar pki revoke --renew`.'),

  // ── anomaly detection ──
  QUARANTINE_FULL: row(400, 'E58', 'party', 'later', 'RESOURCE_EXHAUSTED', 'The request is over a threshold, and there is no room in quarantine.', 'Release or delete what is in quarantine, see `busbar quarantine --help`; then submit it as a new request.'),
  REQUEST_DELETED_FROM_QUARANTINE: row(401, 'E58', 'party', 'never', 'ABORTED', 'The request was in quarantine and has been deleted.', 'Nothing, when the party or the operator meant it; otherwise submit it as a new request.'),
  REQUEST_NOT_IN_QUARANTINE: row(402, 'E49', 'party', 'never', 'FAILED_PRECONDITION', 'The request is not in quarantine.', 'Ask for its status: it may have been released, deleted, or have ended at its deadline.'),
  THRESHOLDS_MALFORMED: row(403, 'E48', 'operator', 'never', 'INVALID_ARGUMENT', 'The thresholds file is not valid.', 'Correct what is named; nothing of the file was loaded.'),
  THRESHOLDS_FILE_OLD: row(404, 'E49', 'operator', 'never', 'ABORTED', 'A thresholds file with this number, or a higher one, was loaded before.', 'Give the file a higher number when it is meant; see `busbar thresholds show`.'),
  // ── operators' door ──
  OPERATOR_CREDENTIALS_MISSING: row(420, 'E1', 'operator', 'never', 'UNAUTHENTICATED', "The call to the operators' door has no credentials.", 'Give a token: --token-file or BUSBAR_OPERATOR_TOKEN_FILE, or --data-dir of a broker on this machine; other clients send `authorization: Bearer TOKEN`.'),
  OPERATOR_CREDENTIALS_UNKNOWN: row(421, 'E1', 'operator', 'never', 'UNAUTHENTICATED', 'The token is not one of an operator of this broker.', 'Use the token that `busbar operators token` has made for this broker; a renewed or removed one is not valid any more.'),
  OPERATOR_ROLE_INSUFFICIENT: row(422, 'E2', 'operator', 'never', 'PERMISSION_DENIED', 'The role of the operator does not allow this.', 'Ask an operator with the role that is named.'),
  OPERATOR_ATTEMPTS_EXCEEDED: row(423, 'E57', 'operator', 'later', 'RESOURCE_EXHAUSTED', 'Too many calls from this address had no valid credentials.', 'Correct the credentials; calls with valid ones are answered all the same.'),
  OPERATORS_FILE_INVALID: row(424, 'E51', 'operator', 'never', 'FAILED_PRECONDITION', 'The list of operators, or a file with a token, is missing or not valid.', 'Make it with `busbar operators token`, or put the named file right.'),
  OPERATOR_NAME_TAKEN: row(425, 'E51', 'operator', 'never', 'ALREADY_EXISTS', 'There is an operator of this name already; nothing was changed.', 'Give another name, or replace the token deliberately with --renew.'),
  OPERATOR_UNKNOWN: row(426, 'E51', 'operator', 'never', 'NOT_FOUND', 'There is no operator of this name.', 'List them: `busbar operators list`.'),

  APPROVAL_UNKNOWN: row(427, 'E51', 'operator', 'never', 'NOT_FOUND', 'There is no such request for approval.', 'List them: `busbar approvals list`.'),
  APPROVAL_OVER: row(428, 'E51', 'operator', 'never', 'FAILED_PRECONDITION', 'The request has been decided, or its time is over.', 'Request the act again when it is still needed.'),
  APPROVAL_SAME_OPERATOR: row(429, 'E51', 'operator', 'never', 'PERMISSION_DENIED', 'Who requested an act cannot approve it.', 'Let another operator with the role security-officer approve it.'),
  APPROVAL_DIGEST_MISMATCH: row(430, 'E51', 'operator', 'never', 'ABORTED', 'What is to be approved is not what was requested.', 'Look at the request again, `busbar approvals list`, and give its digest.'),
  APPROVAL_LIMIT_EXCEEDED: row(431, 'E51', 'operator', 'later', 'RESOURCE_EXHAUSTED', 'Too many acts wait for a second operator.', 'Approve or reject some of them.'),

  APPROVAL_ACT_UNKNOWN: row(460, 'E51', 'operator', 'later', 'UNIMPLEMENTED', 'This process does not know the act that waits.', 'A later version has requested it: approve it at a process of that version. It still waits.'),
  APPROVAL_CONTENT_EXCEEDED: row(461, 'E51', 'operator', 'never', 'INVALID_ARGUMENT', 'An act that needs two operators names more than one approval may hold.', 'Name at most 50 requests in a call, and make several calls.'),

  OPERATOR_CERTIFICATE_INVALID: row(462, 'E1', 'operator', 'never', 'UNAUTHENTICATED', 'The certificate is not one of an operator.', 'Use the one that `busbar pki issue --operator NAME` has made; those of parties and doors are for other things.'),
  OPERATOR_CERTIFICATE_UNTRUSTED: row(463, 'E1', 'operator', 'never', 'UNAUTHENTICATED', 'The certificate of the operator was not issued by an authority that is trusted here, or the list of that authority is out of date.', 'Use a certificate of an authority of ca.crt; write the list again: `busbar pki revoke --renew`.'),
  OPERATOR_CERTIFICATE_EXPIRED: row(464, 'E1', 'operator', 'never', 'UNAUTHENTICATED', 'The certificate of the operator is not valid now.', 'Have a new one issued: `busbar pki issue --operator NAME --renew`.'),
  OPERATOR_CERTIFICATE_REVOKED: row(465, 'E1', 'operator', 'never', 'UNAUTHENTICATED', 'The certificate of the operator was revoked.', 'Ask why, and have a new one issued.'),
  BACKUP_SIGNATURES_MISSING: row(466, 'E51', 'operator', 'never', 'PERMISSION_DENIED', 'Two different operators with the role security-officer have to sign a backup before it is restored. Nothing was changed.', 'Let them sign it, `busbar backup sign`, and name their list and their authority with --operators and --pki.'),

  // ── request ──
  REQUEST_WIRE_MALFORMED: row(20, 'E48', 'party', 'never', 'INVALID_ARGUMENT', 'The bytes are not a ServiceRequest of busbar.v1.', 'Encode with the published proto files.'),
  REQUEST_SIZE_EXCEEDED: row(21, 'E48', 'party', 'never', 'INVALID_ARGUMENT', 'The request or batch is larger than allowed.', 'Send at most 64 KiB a request and 1,000 requests a batch.'),
  REQUEST_ID_MALFORMED: row(22, 'E48', 'party', 'never', 'INVALID_ARGUMENT', 'The RequestID lacks an originator, a target or a counter above 0, or one of them is malformed.', 'Send two EUI-64 as sixteen hexadecimal digits, and as counter the nanoseconds since 1970; or set assignCounter and send no counter.'),
  REQUEST_SRV_UNKNOWN: row(23, 'E48', 'party', 'never', 'INVALID_ARGUMENT', 'There is no such service reference variant.', 'Use one of the catalogue, for example 4.1.1.'),
  REQUEST_SRV_UNSUPPORTED: row(24, 'E50', 'party', 'never', 'UNIMPLEMENTED', 'The service reference variant exists but is not served by this Busbar yet.', 'See the list of served variants in core/docs/parties/service-requests.md.'),
  SCHEDULE_VARIANT_UNFIT: row(480, 'E050101', 'party', 'never', 'INVALID_ARGUMENT', 'This service reference variant cannot be scheduled.', 'See the list of those that can in core/docs/parties/schedules.md.'),
  SCHEDULES_FULL: row(481, 'E050102', 'party', 'never', 'RESOURCE_EXHAUSTED', 'The device has as many schedules of this party, or of all parties, as it may.', 'Delete those that are not needed any more, with 5.3.'),
  SCHEDULE_START_UNFIT: row(482, 'E050103', 'party', 'never', 'INVALID_ARGUMENT', 'The start date is past, or more than ten years ahead.', 'Start today or later.'),
  SCHEDULE_END_UNFIT: row(483, 'E050105', 'party', 'never', 'INVALID_ARGUMENT', 'The end date is before the start date, or before the first run.', 'Correct the dates, or leave the end date out.'),
  SCHEDULE_WINDOW_BACKWARDS: row(484, 'E050107', 'party', 'never', 'INVALID_ARGUMENT', 'The log window ends before it starts.', 'Exchange its start and its end.'),
  SCHEDULE_BODY_UNFIT: row(485, 'E050108', 'party', 'never', 'INVALID_ARGUMENT', 'The log window is missing, is not allowed for this variant, or is malformed.', 'See CreateSchedule in the proto file.'),
  SCHEDULE_MALFORMED: row(486, 'E48', 'party', 'never', 'INVALID_ARGUMENT', 'A frequency, date, time, spread or time zone of the schedule is missing or malformed.', 'See CreateSchedule in the proto file.'),
  SCHEDULE_UNKNOWN: row(487, 'E050201', 'party', 'never', 'NOT_FOUND', 'The party has no schedule with this number at the device.', 'List the schedules with 5.2.'),
  REQUEST_BODY_MISMATCH: row(25, 'E48', 'party', 'never', 'INVALID_ARGUMENT', 'The body is not the one that the service reference variant takes.', 'See the proto comments for the body of each variant.'),
  REQUEST_BODY_MALFORMED: row(26, 'E48', 'party', 'never', 'INVALID_ARGUMENT', 'A field of the body is missing or out of range.', 'See the proto comments for the ranges.'),
  EXECUTION_TIME_PAST: row(500, 'E48', 'party', 'never', 'INVALID_ARGUMENT', 'The execution time has passed already.', 'Check the clock; leave the execution time out for a request that is to be carried out at once.'),
  EXECUTION_TIME_FAR: row(501, 'E48', 'party', 'never', 'INVALID_ARGUMENT', 'The execution time lies more than 30 days ahead.', 'Submit the request later, or create a schedule.'),
  EXECUTION_TIME_UNFIT: row(502, 'E48', 'party', 'never', 'INVALID_ARGUMENT', 'Busbar keeps no request of this variant, and none in a sequence, for a later time.', 'Leave the execution time out; the catalogue names the variants that may be future dated.'),
  FUTURE_REQUEST_NOT_FOUND: row(503, 'E49', 'party', 'never', 'NOT_FOUND', 'No request of this party and variant waits for its time at the device.', 'Ask for the status of the request: it may have been carried out, or have ended.'),
  REQUEST_DEADLINE_PAST: row(27, 'E48', 'party', 'never', 'INVALID_ARGUMENT', 'The deadline has passed already, lies more than 30 days ahead, or before the execution time.', 'Check the clock; leave the deadline out for the default of two minutes.'),
  REQUEST_RANGE_BACKWARDS: row(28, 'E48', 'party', 'never', 'INVALID_ARGUMENT', 'The range ends before it starts.', 'Swap the two times.'),
  REQUEST_RANGE_EXCEEDED: row(29, 'E44', 'party', 'never', 'OUT_OF_RANGE', 'The range is longer, or goes further back, than the meter keeps.', 'Ask for at most 400 days, the last ones.'),
  REQUEST_COUNTER_REUSED: row(30, 'E49', 'party', 'never', 'ALREADY_EXISTS', 'This RequestID was used before for a different request.', 'Use a new counter for each request.'),
  REQUEST_COUNTER_STALE: row(31, 'E49', 'party', 'never', 'ALREADY_EXISTS', 'The counter is at or below the floor: the device no longer knows whether this RequestID was accepted.', 'Use a higher counter; the rejection names the highest one that was accepted and the floor.'),
  REQUEST_COUNTER_TOO_HIGH: row(260, 'E49', 'party', 'never', 'OUT_OF_RANGE', 'The counter is far above the other counters of this party, above the present time in nanoseconds, or above 2^63 - 1: later requests would be rejected.', 'Use the present time in nanoseconds since 1970, or the next number of your own counting; to change your convention, ask the operator for `busbar counters reset`.'),
  REQUEST_SIGNATURE_MISSING: row(380, 'E46', 'party', 'never', 'UNAUTHENTICATED', 'The party has to sign this request, and it is not signed.', 'Sign the request: core/docs/parties/signatures.md; the operator changes what has to be signed with `busbar parties require-signatures`.'),
  REQUEST_SIGNATURE_MALFORMED: row(381, 'E46', 'party', 'never', 'INVALID_ARGUMENT', 'The signature is not r and s of 32 octets each within the order of P-256, its certificate is not 64 hexadecimal digits, or the request leaves its counter to the gateway.', 'Send r and s one behind the other, 64 octets and not DER, with the SHA-256 of the DER certificate, and name the counter.'),
  REQUEST_SIGNATURE_INVALID: row(382, 'E46', 'party', 'never', 'UNAUTHENTICATED', 'The signature is not one of the named certificate over this request.', 'Sign the canonical form of exactly this request, and compare with the test vectors: core/docs/parties/signatures.md.'),
  REQUEST_SIGNER_UNKNOWN: row(383, 'E47', 'party', 'never', 'UNAUTHENTICATED', 'The gateway knows no certificate with this SHA-256.', 'Ask the operator to add the certificate to signers.crt of the gateway; compare `openssl x509 -fingerprint -sha256`.'),
  REQUEST_SIGNER_MISMATCH: row(384, 'E47', 'party', 'never', 'PERMISSION_DENIED', 'The signing certificate is that of another party.', 'Sign with a certificate of the party that submits the request.'),
  REQUEST_SIGNER_EXPIRED: row(385, 'E47', 'party', 'never', 'UNAUTHENTICATED', 'The signing certificate has expired, or is not valid yet.', 'Sign with a certificate that is valid now: `busbar pki issue --renew`.'),
  REQUEST_SIGNER_REVOKED: row(386, 'E47', 'party', 'never', 'UNAUTHENTICATED', 'The signing certificate was revoked.', 'Ask the operator why, and have a new one issued.'),
  REQUEST_SIGNER_UNTRUSTED: row(387, 'E47', 'party', 'never', 'UNAUTHENTICATED', 'The signing certificate is not in the profile of parties, was not issued by an authority of this Busbar, has a key that is not pinned, or the revocation list is out of date.', 'Use a certificate that was issued for this Busbar; operator: `busbar pki show` says what is valid.'),
  SEQUENCE_PREDECESSOR_FAILED: row(470, 'E40', 'party', 'never', 'FAILED_PRECONDITION', 'The predecessor of the request in its sequence has failed.', 'See the response of the predecessor; begin a new sequence when the requests are still needed.'),
  SEQUENCE_PREDECESSOR_LATE: row(471, 'E41', 'party', 'never', 'DEADLINE_EXCEEDED', 'The predecessor of the request in its sequence did not succeed in time, or the deadline of the request came before it had.', 'Begin a new sequence, with later deadlines: a deadline has to leave time for all predecessors.'),
  SEQUENCE_PREDECESSOR_UNKNOWN: row(472, 'E42', 'party', 'never', 'NOT_FOUND', 'The device knows no request of this sequence with the RequestID of the predecessor: it was not accepted, or has ended too long ago.', 'Submit the predecessor first; then submit this request again: its RequestID is not used up.'),
  SEQUENCE_INCONSISTENT: row(473, 'E43', 'party', 'never', 'FAILED_PRECONDITION', 'The sequence is inconsistent: the request is a first one with a predecessor, names itself, its predecessor is in no sequence, or has another successor.', 'Set first_in_sequence on the first request alone; let each later one name the one before it.'),
  SEQUENCE_PREDECESSOR_CANCELLED: row(474, 'E40', 'party', 'never', 'ABORTED', 'The predecessor of the request in its sequence was cancelled.', 'Begin a new sequence when the requests are still needed.'),
  SEQUENCE_PREDECESSOR_FOREIGN: row(475, 'E42', 'party', 'never', 'PERMISSION_DENIED', 'The predecessor is a request of another party.', 'Name a request of your own.'),
  SEQUENCE_DEVICES_DIFFER: row(476, 'E43', 'party', 'never', 'UNIMPLEMENTED', 'The predecessor is a request to another device: a sequence stays at one device.', 'Wait for the response of the other device, and then submit this request.'),
  SEQUENCE_TOO_LONG: row(477, 'E43', 'party', 'never', 'OUT_OF_RANGE', 'The sequence has as many requests as one may have.', 'Begin a new sequence when the response of its last request has come; see core/docs/reference/limits.md, sequenceLengthMax.'),
  SEQUENCE_WAIT_EXCEEDED: row(478, 'E42', 'party', 'never', 'DEADLINE_EXCEEDED', 'The request has waited for its predecessor for as long as one may.', 'Begin a new sequence when the predecessor has ended.'),
  COUNTERS_PARTY_UNKNOWN: row(261, 'E49', 'operator', 'never', 'NOT_FOUND', 'The device has no counters of this party.', 'Check both EUI-64: `busbar counters show`.'),
  REQUEST_NOT_FOUND: row(32, 'E49', 'party', 'never', 'NOT_FOUND', 'No request with this RequestID is remembered.', 'Check the RequestID; a device remembers its last requests only.'),
  REQUEST_ENDED: row(33, 'E49', 'party', 'never', 'FAILED_PRECONDITION', 'The request has ended already or is on its way to the device.', 'Take the response from the output gateway.'),
  REQUEST_CANCELLED: row(34, 'I0', 'none', 'never', 'OK', 'The party cancelled the request before it was sent to the device.', 'Nothing.'),
  REQUEST_EXPIRED: row(35, 'E30', 'wan', 'later', 'DEADLINE_EXCEEDED', 'The deadline came before the request could be sent to the device.', 'Submit again with a later deadline.'),
  REQUEST_JSON_MALFORMED: row(36, 'E48', 'party', 'never', 'INVALID_ARGUMENT', 'The body is not JSON of the published messages.', 'See core/docs/parties/http.md; names and types are those of the proto files.'),
  REQUEST_PATH_UNKNOWN: row(37, 'E48', 'party', 'never', 'NOT_FOUND', 'There is no such path or method here.', 'See core/docs/parties/http.md.'),
  REQUEST_HTTP_MALFORMED: row(270, 'E48', 'party', 'never', 'INVALID_ARGUMENT', 'The call breaks a rule of HTTP/1.1.', 'Correct what is named; clients of HTTP do this by themselves.'),
  REQUEST_METHOD_UNSUPPORTED: row(271, 'E48', 'party', 'never', 'UNIMPLEMENTED', 'The path does not have this method.', 'Use a method that the header Allow names.'),
  REQUEST_HOST_UNKNOWN: row(272, 'E48', 'party', 'never', 'FAILED_PRECONDITION', 'The call is for a host name that this door does not have.', 'Use the address that the broker listens on; the operator adds further names with --http-hosts.'),
  REQUEST_ORIGIN_REFUSED: row(273, 'E1', 'party', 'never', 'PERMISSION_DENIED', 'A web page of another site makes the call.', 'Call from a page of this host, or without a browser; the operator allows further origins with --http-origins.'),
  REQUEST_HEADERS_EXCEEDED: row(274, 'E48', 'party', 'never', 'INVALID_ARGUMENT', 'The request line or the headers are longer, or more, than allowed.', 'Send at most 8 KiB of path and query, 100 headers, and 16 KiB in all.'),
  REQUEST_TIMED_OUT: row(275, 'E48', 'party', 'later', 'DEADLINE_EXCEEDED', 'The whole call did not arrive in time.', 'Send headers within 10 s, and the whole call within 30 s.'),
  CONNECTIONS_EXCEEDED: row(276, 'E57', 'party', 'later', 'RESOURCE_EXHAUSTED', 'The door has as many connections as it may, from this address or in all.', 'Close connections, or use one for several calls.'),
  BROKER_UNREADY: row(277, 'E57', 'broker', 'later', 'UNAVAILABLE', 'This Busbar is not ready.', 'Read the reasons, and look again after the given time.'),
  REQUEST_DOOR_UNFIT: row(340, 'E13', 'party', 'never', 'INVALID_ARGUMENT', 'This door does not take the kind of request that the command variant asks for.', 'Leave commandVariant out, or see the doors of each command variant in core/docs/parties/access.md.'),
  REQUEST_COMMAND_VARIANT_UNFIT: row(341, 'E12', 'party', 'never', 'INVALID_ARGUMENT', 'The command variant does not fit the service reference variant.', 'Leave commandVariant out, or send one that fits; see core/docs/parties/service-requests.md.'),
  REQUEST_LOCAL_DELIVERY_UNAVAILABLE: row(342, 'E17', 'party', 'never', 'UNIMPLEMENTED', 'Local delivery is not available for this request.', 'Ask for delivery over the WAN: leave commandVariant out.'),

  // ── gRPC calls ──
  CALL_METHOD_UNKNOWN: row(290, 'E48', 'party', 'never', 'UNIMPLEMENTED', 'There is no such gRPC service or method here.', 'Use the methods of the published proto files; reflection lists them.'),
  CALL_HEADER_INVALID: row(291, 'E48', 'party', 'never', 'INVALID_ARGUMENT', 'A header of the call is malformed, or all headers together are too large.', 'Send a gRPC call: POST, content-type application/grpc, at most 8 KiB of headers.'),
  CALL_COMPRESSION_UNSUPPORTED: row(292, 'E48', 'party', 'never', 'UNIMPLEMENTED', 'The message is compressed with an encoding that is not supported.', 'Send messages uncompressed, or with gzip or deflate.'),
  CALL_DEADLINE_EXCEEDED: row(293, 'E57', 'party', 'later', 'DEADLINE_EXCEEDED', 'The deadline of the call came before its answer; a request may have been accepted.', 'Submit the same RequestID again, with a longer deadline; it is run once.'),
  CALL_MESSAGE_UNFINISHED: row(294, 'E57', 'party', 'later', 'DEADLINE_EXCEEDED', 'A message of the call was not complete in time.', 'Send each message as a whole, and end the sending side of a call with one message.'),
  CALL_NAME_UNKNOWN: row(295, 'E48', 'party', 'never', 'NOT_FOUND', 'The health service or reflection does not know this name.', 'Ask reflection for the list of services.'),

  VIEW_QUERY_INVALID: row(38, 'E48', 'operator', 'never', 'INVALID_ARGUMENT', 'A parameter of the query is not one, or out of range.', 'See core/docs/operating/views.md, or `busbar inventory --help` and `busbar usage --help`.'),

  // ── device ──
  DEVICE_ORIGINATORS_FULL: row(39, 'E57', 'operator', 'never', 'RESOURCE_EXHAUSTED', 'The device remembers counters of as many parties as it may.', 'Ask the operator to look at who uses this device.'),
  PARTY_NOT_REGISTERED: row(350, 'E4', 'party', 'never', 'PERMISSION_DENIED', 'The party holds no registration, in its role, at a meter point of the device at this time.', 'Check the registration, and the market participant id of the party; `busbar meter-points show` says who is registered.'),
  RIGHTS_NOT_KNOWN: row(351, 'E57', 'broker', 'later', 'UNAVAILABLE', 'A meter point of the device has not said yet who is registered there.', 'Submit again in a moment.'),
  REGISTRATION_MALFORMED: row(352, 'E48', 'operator', 'never', 'INVALID_ARGUMENT', 'What is to be registered at a meter point is not valid.', 'Correct what is named.'),
  METER_POINT_UNKNOWN: row(353, 'E51', 'operator', 'never', 'NOT_FOUND', 'Nothing is registered at this meter point, and no device is linked to it.', 'Check its number; `busbar meter-points register` registers a supplier there.'),
  DEVICE_STATUS_NOT_NEXT: row(354, 'E5', 'operator', 'never', 'FAILED_PRECONDITION', 'A device cannot go from its status to this one.', 'See its status, `busbar devices status`, and which may follow it.'),
  CONSENT_MISSING: row(370, 'E4', 'party', 'never', 'PERMISSION_DENIED', 'The third party has no consent that covers this request at this time.', 'Ask the people at the meter point; `busbar consents list` shows what is recorded.'),
  CONSENT_MALFORMED: row(371, 'E48', 'operator', 'never', 'INVALID_ARGUMENT', 'What is said of a consent or a tenancy is not valid.', 'Correct what is named.'),
  CONSENT_UNKNOWN: row(372, 'E51', 'operator', 'never', 'NOT_FOUND', 'No such consent is in the register of the meter point.', 'Check the meter point and the id; `busbar consents list` shows those that are recorded.'),
  CONSENT_ID_USED: row(373, 'E49', 'operator', 'never', 'ALREADY_EXISTS', 'Another consent has this id at the meter point.', 'Give the consent an id of its own.'),
  CONSENTS_FULL: row(374, 'E57', 'operator', 'never', 'RESOURCE_EXHAUSTED', 'The meter point has as many consents, or changes of tenancy that lie ahead, as it may have.', 'Withdraw consents that are not needed any more.'),
  CONSENT_BEFORE_TENANCY: row(375, 'E48', 'operator', 'never', 'FAILED_PRECONDITION', 'The consent begins before the tenancy that it is given in.', 'Let it begin with the tenancy or later; `busbar consents list` says when that began.'),
  READ_PERIOD_NOT_OWN: row(376, 'E4', 'party', 'never', 'PERMISSION_DENIED', 'The request reads only times before the registration or the consent of its party began.', 'Ask for a later period.'),
  GRANT_UNKNOWN: row(377, 'E51', 'operator', 'never', 'NOT_FOUND', 'The device does not remember a consent or a cut for this request.', 'Look for its REQUEST_GRANTED in the ledger: `busbar ledger tail`.'),
  DEVICE_UNKNOWN: row(40, 'E19', 'party', 'never', 'NOT_FOUND', 'No device with this EUI-64 is in the inventory.', 'Check the target of the RequestID.'),
  DEVICE_TYPE_UNFIT: row(41, 'E11', 'party', 'never', 'FAILED_PRECONDITION', 'A device of this type does not take this request.', 'See device types in the catalogue.'),
  DEVICE_STATUS_UNFIT: row(343, 'E5', 'party', 'never', 'FAILED_PRECONDITION', 'The status of the device does not allow this request.', 'See what each status allows in core/docs/parties/access.md.'),
  DEVICE_QUEUE_FULL: row(42, 'E57', 'party', 'later', 'RESOURCE_EXHAUSTED', 'The device holds as many open requests as it may.', 'Wait for its responses, then submit again after the given time.'),
  DEVICE_UNREACHABLE: row(43, 'E20', 'wan', 'later', 'UNAVAILABLE', 'There was no path to the device.', 'Submit again later.'),
  DEVICE_SILENT: row(44, 'E21', 'meter', 'later', 'DEADLINE_EXCEEDED', 'The device was reached but gave no answer in time.', 'Submit again later.'),
  DEVICE_ANSWER_INVALID: row(45, 'E21', 'meter', 'later', 'INTERNAL', 'The device answered, but not with a valid answer to what was asked.', 'Submit again later; report the device if it repeats.'),
  DEVICE_REFUSED: row(46, 'E44', 'meter', 'never', 'FAILED_PRECONDITION', 'The device refused what was asked.', 'See the status of each reading in the response.'),
  DEVICE_ACTOR_PARKED: row(47, 'E51', 'broker', 'never', 'INTERNAL', 'Busbar failed on this request and has put it aside.', 'Report the RequestID to the operator; other requests go on.'),
  DEVICE_ASSOCIATION_REFUSED: row(48, 'E44', 'operator', 'later', 'FAILED_PRECONDITION', "The device refused Busbar's association.", 'Check client, secret, keys and invocation counter of the device; `busbar inventory` tells the cause.'),
  DEVICE_RECORD_MALFORMED: row(49, 'E48', 'operator', 'never', 'INVALID_ARGUMENT', 'A device record is not valid.', 'Compare with the example in core/docs/operating/inventory.md.'),
  DEVICE_REMOVED: row(265, 'E19', 'operator', 'never', 'FAILED_PRECONDITION', 'An operator removed the device before the request ended; a command that was on its way may have been carried out.', 'Ask the operator why; once the device is registered again, submit with a new counter.'),

  // ── capacity and operation ──
  BROKER_PARTITION_BUSY: row(50, 'E57', 'broker', 'later', 'RESOURCE_EXHAUSTED', 'The partition of this device has as much work as it may hold.', 'Submit again after the given time.'),
  BROKER_LOAD_SHED: row(479, 'E57', 'broker', 'later', 'RESOURCE_EXHAUSTED', 'The gateway or the host fills up, and takes only more urgent kinds of requests for now.', 'Submit again after the given time; see core/docs/parties/errors.md for the load classes.'),
  BROKER_GATEWAY_BUSY: row(51, 'E57', 'broker', 'later', 'RESOURCE_EXHAUSTED', 'The gateway holds as many requests as it may.', 'Submit again after the given time, or use another gateway.'),
  BROKER_SIGNATURES_BUSY: row(388, 'E57', 'broker', 'later', 'RESOURCE_EXHAUSTED', 'The gateway has as many signatures to verify as it may.', 'Submit again after the given time, or use another gateway.'),
  BROKER_PARTITION_UNAVAILABLE: row(52, 'E57', 'broker', 'later', 'UNAVAILABLE', 'No host owns the partition of this device at the moment.', 'Submit the same RequestID again; it is run once.'),
  BROKER_LEDGER_FULL: row(53, 'E57', 'operator', 'later', 'RESOURCE_EXHAUSTED', 'The ledger has no room left; nothing accepted is lost.', 'Operator: raise the byte limit or free the disk.'),
  BROKER_LEDGER_UNAVAILABLE: row(54, 'E57', 'operator', 'later', 'UNAVAILABLE', 'The ledger did not answer in time; the request may or may not be on disk.', 'Submit the same RequestID again; it is run once.'),
  BROKER_DRAINING: row(55, 'E57', 'broker', 'later', 'UNAVAILABLE', 'This Busbar is shutting down.', 'Submit again to another gateway, or in a moment.'),
  BROKER_DISK_LOW: row(56, 'E57', 'operator', 'later', 'RESOURCE_EXHAUSTED', 'A disk under the ledger has less free space than its reserve; nothing accepted is lost.', 'Submit again after the given time. Operator: free space on the disk that /health/ready names.'),
  LETTERS_READ_MEANWHILE: row(58, 'E51', 'operator', 'now', 'ABORTED', 'Letters of the partition were read while they were being set aside; nothing was set aside.', 'Run the command again.'),
  BROKER_STORAGE_LOW: row(278, 'E57', 'operator', 'later', 'RESOURCE_EXHAUSTED', 'The account at the nats-server has less storage left than the ledger keeps for answers; nothing accepted is lost.', "Submit again after the given time. Operator: raise the account's limit of storage, or delete what other streams of it hold."),
  LEDGER_READERS_BUSY: row(390, 'E57', 'broker', 'later', 'RESOURCE_EXHAUSTED', 'Another explanation, list or export is being read from the ledger, or this party has asked for one a moment ago.', 'Ask again after the given time.'),
  BROKER_GATEWAY_FAILED: row(59, 'E51', 'broker', 'later', 'INTERNAL', 'The gateway failed on this call; requests that were acknowledged are not touched.', 'Submit the same RequestID again; report it if it repeats.'),

  // ── deliveries ──
  DELIVERY_CREDIT_INVALID: row(60, 'E48', 'party', 'never', 'INVALID_ARGUMENT', 'The credit must lie between 1 and 100,000 and be given first.', 'Open the stream with a credit.'),
  DELIVERY_ACKNOWLEDGEMENT_INVALID: row(61, 'E48', 'party', 'never', 'INVALID_ARGUMENT', 'The acknowledged delivery id was never sent on this stream.', 'Acknowledge ids that you were given.'),
  DELIVERY_RECEIVER_SUPERSEDED: row(62, 'E48', 'party', 'never', 'ABORTED', 'Another connection of this party now receives its deliveries.', 'Keep one receiver a party; the newest wins.'),
  DELIVERY_RECEIVER_STALLED: row(63, 'E57', 'party', 'now', 'RESOURCE_EXHAUSTED', 'The receiver does not read; its stream was cut to protect others.', 'Reconnect; nothing is lost.'),
  DELIVERY_RECEIVER_PRESENT: row(64, 'E48', 'party', 'never', 'ALREADY_EXISTS', 'A receiver of this party is connected, and this one was opened to receive only if the seat is free.', 'Stop the other receiver, or take over deliberately (busbar receive --take-over).'),
  RESPONSE_NOT_READY: row(65, 'E49', 'party', 'later', 'FAILED_PRECONDITION', 'The request has not ended yet.', 'Ask again after the given time, or wait with wait_ms.'),
  RESPONSE_NOT_KEPT: row(66, 'E49', 'party', 'never', 'NOT_FOUND', 'The request has ended, but the ledger no longer keeps its response.', 'Receive deliveries, or read responses, before the ledger is trimmed.'),
  RESPONSE_SEARCH_RUNNING: row(67, 'E57', 'broker', 'later', 'UNAVAILABLE', 'The gateway is still searching older deliveries for the response.', 'Ask again after the given time; the search goes on where it stands.'),

  // ── alerts ──
  DEVICE_ALERT_UNADDRESSED: row(70, 'E51', 'operator', 'never', 'FAILED_PRECONDITION', 'A device sent an unsolicited message, and nobody is to get it: its record names nobody, and nobody in the role that it is for is registered at its meter points.', 'Give the device record alertsTo or meter points, and look at `busbar rights show`.'),
  DEVICE_ALERTS_EXCEEDED: row(71, 'E57', 'meter', 'later', 'RESOURCE_EXHAUSTED', 'A device sends more alerts than are delivered in a time; the rest is dropped.', 'Find out what the device reports; turn off what nobody needs.'),
  DEVICE_PUSH_UNATTRIBUTED: row(72, 'E51', 'operator', 'never', 'NOT_FOUND', 'An unsolicited message does not say which device it is of.', 'Add what the device calls itself to the file of BUSBAR_DIAL_IN_NAMES.'),
  DEVICE_PUSH_DROPPED: row(73, 'E57', 'broker', 'never', 'RESOURCE_EXHAUSTED', 'An unsolicited message of a device was dropped: there was no room for it, no host took it in time, or the one that had it died and it might have been delivered.', 'Add hosts, or ask the device.'),

  // ── DLMS/COSEM: from here on the fault is the meter's unless said otherwise ──
  DLMS_TAG_UNKNOWN: row(100, 'E21', 'meter', 'later', 'INTERNAL', 'An octet that should name a type or an APDU names none.', 'Report the device and its firmware.'),
  DLMS_LENGTH_INVALID: row(101, 'E21', 'meter', 'later', 'INTERNAL', 'A length runs past the end, or octets are left over.', 'Report the device and its firmware.'),
  DLMS_SIZE_EXCEEDED: row(102, 'E21', 'meter', 'later', 'INTERNAL', 'An APDU, a transfer or an array is larger than allowed.', 'Ask for a shorter range.'),
  DLMS_NESTING_EXCEEDED: row(103, 'E21', 'meter', 'later', 'INTERNAL', 'Data is nested deeper than allowed.', 'Report the device and its firmware.'),
  DLMS_VALUE_INVALID: row(104, 'E21', 'meter', 'later', 'INTERNAL', 'A value is not of the type or range that its place asks for.', 'Report the device and its firmware.'),
  DLMS_BLOCK_NUMBER_WRONG: row(105, 'E21', 'meter', 'later', 'INTERNAL', 'A block of a transfer came out of order.', 'Submit again later.'),
  DLMS_INVOKE_ID_WRONG: row(106, 'E21', 'meter', 'later', 'INTERNAL', 'The answer belongs to another question.', 'Submit again later.'),
  DLMS_SERVICE_UNEXPECTED: row(107, 'E21', 'meter', 'later', 'INTERNAL', 'The APDU is not one that may come now.', 'Report the device and its firmware.'),
  DLMS_ASSOCIATION_REFUSED: row(108, 'E44', 'operator', 'later', 'FAILED_PRECONDITION', 'The meter refused the association.', 'Check client, secret and keys in the device record, and the invocation counter.'),
  DLMS_EXCEPTION: row(109, 'E44', 'meter', 'later', 'FAILED_PRECONDITION', 'The meter answered with an exception-response.', 'Report the device and its firmware.'),
  DLMS_WRAPPER_INVALID: row(110, 'E21', 'meter', 'later', 'INTERNAL', 'The octets are not a TCP wrapper frame of version 1.', 'Check that the address is that of a DLMS meter.'),
  DLMS_TRANSFER_ABORTED: row(111, 'E21', 'meter', 'later', 'INTERNAL', 'The meter ended a block transfer early.', 'Submit again later.'),
  DLMS_STATE_INVALID: row(112, 'E51', 'broker', 'never', 'INTERNAL', 'Busbar tried something that the association does not allow now.', 'Report it: this is a bug.'),
  DLMS_OPAQUE_UNFIT: row(113, 'E51', 'operator', 'never', 'FAILED_PRECONDITION', 'A command that is protected end to end cannot go through an association under a security suite of its own, whose invocation counters it does not take.', 'Register the device with an association that takes no counters: without a security suite, or with protection 0 and another mechanism than GMAC (5).'),
  DLMS_HDLC_INVALID: row(160, 'E21', 'meter', 'later', 'INTERNAL', 'What came is not HDLC frames.', 'Check the address, and the speed and parity of the serial server.'),
  DLMS_HDLC_SILENT: row(161, 'E21', 'meter', 'later', 'DEADLINE_EXCEEDED', 'No useful frame came in time, though it was asked for again.', 'Check the HDLC addresses in the device record, and the line.'),
  DLMS_HDLC_REFUSED: row(162, 'E21', 'meter', 'later', 'UNAVAILABLE', 'The meter does not open the HDLC link, or has closed it.', 'Submit again later; check the HDLC addresses in the device record.'),
  DLMS_HDLC_BROKEN: row(163, 'E21', 'meter', 'later', 'INTERNAL', 'The meter rejected a frame, or acknowledges nothing that is sent.', 'Submit again later; report the device and its firmware.'),
  DLMS_MBUS_INVALID: row(164, 'E21', 'meter', 'later', 'INTERNAL', 'What came is not M-Bus frames with parts of an APDU in order.', 'Check the speed and parity of the converter behind the consumers\' port.'),

  // ── DLMS/COSEM security: what arrived is not trusted, and nothing of it is used ──
  DLMS_CIPHER_TAG_WRONG: row(130, 'E21', 'meter', 'later', 'INTERNAL', 'The authentication tag of a ciphered APDU does not verify: it was changed, or its keys are others.', 'Check the keys of the device record.'),
  DLMS_COUNTER_REPLAYED: row(131, 'E21', 'meter', 'later', 'INTERNAL', 'The invocation counter of a ciphered APDU was used before.', 'Where the device was restarted, accept its counter: `busbar keys accept-counter`. Else somebody may replay messages.'),
  DLMS_COUNTER_EXHAUSTED: row(132, 'E51', 'operator', 'never', 'FAILED_PRECONDITION', 'The invocation counter of a key has come to its end.', 'Replace the key.'),
  DLMS_PROTECTION_INSUFFICIENT: row(133, 'E21', 'meter', 'later', 'INTERNAL', 'An APDU is protected less than the security policy asks for.', 'Check the security policy of the device record against that of the meter.'),
  DLMS_SYSTEM_TITLE_WRONG: row(134, 'E21', 'meter', 'later', 'INTERNAL', 'A ciphered APDU names a system title that is not the one of its sender, or not ours as its recipient.', 'Check that the address is that of this device.'),
  DLMS_KEY_UNKNOWN: row(135, 'E51', 'operator', 'never', 'FAILED_PRECONDITION', 'A key that is needed was not given.', 'Complete the keys of the device record.'),
  DLMS_SECURITY_CONTROL_INVALID: row(136, 'E21', 'meter', 'later', 'INTERNAL', 'The security control octet is of another suite, or not one that may stand there.', 'Check the security suite of the device record.'),
  DLMS_COMPRESSION_UNSUPPORTED: row(137, 'E21', 'operator', 'never', 'UNIMPLEMENTED', 'A ciphered APDU is compressed, which Busbar does not read.', 'Turn compression off at the meter.'),
  DLMS_SIGNATURE_WRONG: row(138, 'E21', 'meter', 'later', 'INTERNAL', 'A digital signature does not verify.', 'Check the certificates of the device record.'),
  DLMS_AUTHENTICATION_FAILED: row(139, 'E44', 'meter', 'later', 'UNAUTHENTICATED', 'The peer does not prove that it knows the secret.', 'Check secret, keys and mechanism of the device record.'),
  DLMS_CHALLENGE_REFLECTED: row(140, 'E21', 'meter', 'later', 'UNAUTHENTICATED', 'The peer sent our own challenge back as its own.', 'Report the device: somebody may pretend to be it.'),
  DLMS_KEY_WRAP_WRONG: row(141, 'E21', 'meter', 'later', 'INTERNAL', 'A wrapped key was not wrapped under the key that unwraps it.', 'Check the master key of the device record.'),
  DLMS_KEY_AGREEMENT_INVALID: row(142, 'E21', 'meter', 'later', 'INTERNAL', 'A public key or a scheme of a key agreement is not valid.', 'Report the device and its firmware.'),
  DLMS_CERTIFICATE_INVALID: row(143, 'E51', 'operator', 'never', 'INVALID_ARGUMENT', 'A certificate cannot be read, has expired, is of another issuer, or lacks a system title or a key of a known curve.', 'Replace the certificate.'),

  // ── keys at rest ──
  KEYS_ENCRYPTION_KEY_MISSING: row(150, 'E51', 'operator', 'never', 'FAILED_PRECONDITION', 'A device brings keys, and there is no key-encryption key to seal them under.', 'Start every broker process with --key-encryption-key-file FILE (BUSBAR_KEY_ENCRYPTION_KEY_FILE); `busbar init` and `busbar keys rotate` make such a file. Then register the device again.'),
  KEYS_SEALED_UNREADABLE: row(151, 'E51', 'operator', 'later', 'FAILED_PRECONDITION', 'The sealed keys of a device cannot be opened.', 'Give every process all key-encryption keys that are still in use; `busbar keys status` names them.'),
  KEYS_REPLACEMENT_UNFIT: row(152, 'E51', 'operator', 'never', 'FAILED_PRECONDITION', 'The keys of this device cannot be replaced: it has no security suite, no protection, or no master key.', 'Complete its record.'),
  KEYS_REPLACEMENT_REFUSED: row(153, 'E44', 'meter', 'later', 'FAILED_PRECONDITION', 'The meter was given new keys and has proved that it keeps the old ones, which stay in use.', 'Check the master key in the device record.'),
  KEYS_COUNTER_AHEAD: row(154, 'E51', 'operator', 'later', 'FAILED_PRECONDITION', 'The device says that it expects an invocation counter further ahead than is believed without proof.', 'Check whether another head-end uses its keys; then replace them, or accept it: `busbar keys accept-counter EUI --counter N`.'),
  KEYS_COUNTER_UNKNOWN: row(159, 'E51', 'operator', 'later', 'FAILED_PRECONDITION', 'The ledger was restored, so that invocation counters of this device may have been used since the backup, and the device does not tell the one it was last sent. Nothing was sent under its keys.', 'Give a counter above all that were sent: `busbar keys accept-counter EUI --counter N`; with keys that were never used N is 1.'),
  KEYS_COUNTER_NEAR_END: row(155, 'E51', 'operator', 'later', 'RESOURCE_EXHAUSTED', 'The invocation counter of a key comes near its end.', 'Replace the keys: `busbar keys replace`.'),
  KEYS_SUPERSEDED: row(156, 'E51', 'operator', 'never', 'ALREADY_EXISTS', 'A registration brings keys that were replaced; the newer ones stay in use.', 'Take the keys out of that inventory file.'),
  KEYS_COUNTER_RAISED: row(158, 'E51', 'operator', 'later', 'FAILED_PRECONDITION', 'A device was sent higher invocation counters than Busbar has used; Busbar goes on above them.', 'Expect it once after a restore; else find out which other head-end uses its keys.'),
  KEYS_REPLACEMENT_UNDERWAY: row(157, 'E57', 'operator', 'later', 'ABORTED', 'The keys of this device are being replaced, and it has not proved yet which ones it has.', 'Register it again when `busbar keys status` counts no replacement under way.'),

  // ── inside ──
  ENVELOPE_MALFORMED: row(200, 'E51', 'broker', 'never', 'INTERNAL', 'The bytes are not an envelope of a known layout version.', 'Check that all hosts run compatible versions.'),
  FRAME_MALFORMED: row(201, 'E51', 'broker', 'never', 'INTERNAL', 'The bytes are not a frame.', 'Check that all hosts run compatible versions.'),
  FORMAT_NOT_RAISED: row(205, 'E51', 'operator', 'never', 'FAILED_PRECONDITION', 'The deployment still writes the format of an earlier version, which has no place for this.', 'When every process runs this version: `busbar cluster format --raise`.'),
  FORMAT_NOT_READ: row(206, 'E51', 'operator', 'never', 'FAILED_PRECONDITION', 'A process of the deployment does not read this format.', 'Run this version in the processes that are named, or end them; then raise the format.'),
  FORMAT_VERSION_LATER: row(204, 'E51', 'operator', 'never', 'FAILED_PRECONDITION', 'The ledger, or a message between processes, was written by a later version of Busbar; nothing of it was skipped.', 'Run that version here, too; data directories of this one are read by it.'),
  LEDGER_CHAIN_BROKEN: row(210, 'E51', 'operator', 'never', 'INTERNAL', "A partition's hash chain does not hold: the ledger was changed or damaged.", 'Stop writing, keep a copy, restore from a replica.'),
  LEDGER_REPLICA_DAMAGED: row(211, 'E51', 'operator', 'later', 'INTERNAL', "A server's replica of the ledger lacks messages, or has other ones than the hash chains and the other servers have.", 'Stop that nats-server, remove the folder jetstream from its store_dir, start it: it gets new copies from the others. One server at a time, and never the last whole copy.'),
  LEDGER_SETTINGS_UNSAFE: row(212, 'E51', 'operator', 'never', 'FAILED_PRECONDITION', 'The stream, or the nats-server it lives on, has settings under which accepted requests could be lost or never end.', 'Change the settings named here.'),
  LEDGER_DEPLOYMENT_MISMATCH: row(213, 'E51', 'operator', 'never', 'FAILED_PRECONDITION', 'The ledger was created with another number of partitions.', 'Start with the recorded number.'),
  LEDGER_MISSING: row(216, 'E51', 'operator', 'never', 'FAILED_PRECONDITION', 'A ledger is known here, and NATS has none, or has lost the record of it. Nothing was changed.', 'Check the mount, the disk and --nats-url; else restore from a backup (`busbar restore`); to give the old ledger up, start once with --new-ledger.'),
  LEDGER_IDENTITY_MISMATCH: row(217, 'E51', 'operator', 'never', 'FAILED_PRECONDITION', 'The ledger found is not the one that this data directory belongs to. Nothing was changed.', 'Correct --nats-url, --data-dir or the mount; to use the ledger found and set the local stores aside, start once with --new-ledger.'),
  LEDGER_ROLLED_BACK: row(218, 'E51', 'operator', 'never', 'FAILED_PRECONDITION', 'The ledger lacks messages that it had already acknowledged: it was cut short, or replaced by an older copy. Nothing was changed.', 'Bring back the newer disk or replica, or restore from a backup (`busbar restore`); to go on with what is left, start once with --new-ledger.'),
  LEDGER_IDENTITY_UNREADABLE: row(219, 'E51', 'operator', 'never', 'FAILED_PRECONDITION', 'A record of which ledger this is cannot be read. Nothing was changed.', 'Restore the file or the ledger from a backup; to take the ledger as it is found, start once with --new-ledger.'),
  BACKUP_DAMAGED: row(229, 'E51', 'operator', 'never', 'INTERNAL', 'The backup is not whole: nothing of it is to be trusted.', 'Take another one.'),
  STORE_DAMAGED: row(214, 'E51', 'operator', 'later', 'INTERNAL', 'A record of the local store is damaged; the store is a cache and is rebuilt from the ledger.', 'Check the disk; start again to rebuild.'),
  SNAPSHOT_DAMAGED: row(215, 'E51', 'operator', 'later', 'INTERNAL', 'The snapshot of a partition cannot be read, and the ledger alone does not hold its beginning any more.', 'Restore from a backup, or bring back a host that served the partition.'),
  NATS_SERVER_MISSING: row(220, 'E51', 'operator', 'never', 'FAILED_PRECONDITION', 'No nats-server of version 2.15.1 or newer could be found or obtained.', 'Install one and name it in NATS_SERVER_BIN, or give BUSBAR_NATS_URL.'),
  NATS_SERVER_TOO_OLD: row(221, 'E51', 'operator', 'never', 'FAILED_PRECONDITION', 'The nats-server is older than 2.15.1, which lacks atomic batches.', 'Install 2.15.1 or newer, or unset NATS_SERVER_BIN and let Busbar get one.'),
  NATS_SERVER_FAILED: row(222, 'E51', 'operator', 'later', 'UNAVAILABLE', 'The embedded nats-server did not start or keeps stopping.', 'Read its log in the data directory.'),
  DATA_DIR_TAKEN: row(223, 'E51', 'operator', 'later', 'FAILED_PRECONDITION', 'Another broker uses this data directory.', 'End it, or give each broker a data directory of its own.'),
  LEDGER_STORAGE_INSUFFICIENT: row(225, 'E51', 'operator', 'never', 'FAILED_PRECONDITION', 'The nats-server does not have the storage that the ledger and what belongs to it may take.', 'Raise max_file_store of the nats-server (or the limit of its account), or lower --ledger-bytes.'),
  NATS_UNREACHABLE: row(224, 'E51', 'operator', 'later', 'UNAVAILABLE', 'The NATS server cannot be reached, does not let Busbar in, or has no JetStream.', 'Start it, correct BUSBAR_NATS_URL, or enable JetStream there.'),
  CONFIG_INVALID: row(230, 'E51', 'operator', 'never', 'INVALID_ARGUMENT', 'The configuration has faults.', 'Correct the listed ones.'),
  PKI_FILE_INVALID: row(310, 'E51', 'operator', 'never', 'FAILED_PRECONDITION', 'A file with a certificate, a key or a revocation list is missing or not valid.', 'Make the folder with `busbar pki init`, or put the named file right.'),
  DOOR_TLS_FAILED: row(389, 'E51', 'operator', 'never', 'FAILED_PRECONDITION', 'The gateway is there, and no TLS connection with it comes about.', 'Put right what is named; core/docs/operating/certificates.md has the files.'),
  PKI_NAME_TAKEN: row(311, 'E51', 'operator', 'never', 'ALREADY_EXISTS', 'The files are there already; nothing was overwritten.', 'Name another folder, or replace a certificate deliberately with `busbar pki issue --renew`.'),
  PKI_CERTIFICATE_UNKNOWN: row(312, 'E51', 'operator', 'never', 'NOT_FOUND', 'The folder has no such certificate.', 'List them: `busbar pki show`.'),
  BROKER_NOT_READY: row(245, 'E51', 'operator', 'later', 'UNAVAILABLE', 'A broker in this process did not become ready.', 'Read the reason: it names what is missing. Stop the broker before another is started on its data directory.'),
  DIAL_IN_LISTEN_FAILED: row(241, 'E51', 'operator', 'later', 'UNAVAILABLE', 'The door for devices that dial in could not be opened.', 'Choose another port, or end the process that holds it.'),
  DIAL_IN_FULL: row(242, 'E51', 'operator', 'later', 'RESOURCE_EXHAUSTED', 'Too many connections to the door for devices that dial in have not said who they are.', 'Find out who connects; let only devices reach the door.'),
  SIMULATOR_LISTEN_FAILED: row(240, 'E51', 'operator', 'later', 'UNAVAILABLE', 'A listener of the simulated meters could not be opened.', 'Choose another base port, fewer listeners, or raise the limit of open files.'),
  REGISTRATION_FILE_MALFORMED: row(330, 'E51', 'operator', 'never', 'INVALID_ARGUMENT', 'The structure of a registration file is not valid; nothing of the file was applied.', 'Ask the sender for the whole file again; a changed file needs a new sequence number.'),
  SOURCE_UNKNOWN: row(360, 'E51', 'operator', 'never', 'NOT_FOUND', 'No file of this registration system has been taken.', 'List the known ones: `busbar sources list`.'),
  SOURCE_BUSY: row(361, 'E51', 'operator', 'later', 'ABORTED', 'A file of this registration system is being applied.', 'Wait until it has ended: `busbar sources show`.'),
  SOURCE_FILES_HELD: row(362, 'E51', 'operator', 'later', 'RESOURCE_EXHAUSTED', 'As many files of this registration system wait for an earlier one as may.', 'Load the missing file or a refresh, or go on without it: `busbar sources release`.'),
  SOURCE_FILE_DIFFERENT: row(363, 'E51', 'operator', 'never', 'ALREADY_EXISTS', 'Another file of this registration system with the same sequence number was taken, or waits.', 'Ask the sender which one counts; a changed file needs a new sequence number.'),
  SOURCE_FILE_NOT_WAITING: row(364, 'E51', 'operator', 'never', 'FAILED_PRECONDITION', 'No file of this registration system waits for that.', 'Look at it: `busbar sources show`.'),
  SOURCE_LIMIT_EXCEEDED: row(365, 'E51', 'operator', 'never', 'RESOURCE_EXHAUSTED', 'As many registration systems are known as may be.', 'Check the sender in the header of the file.'),
  SOURCE_CHANGE_MALFORMED: row(366, 'E48', 'operator', 'never', 'INVALID_ARGUMENT', 'What is to be changed of a registration system is not valid.', 'Correct what is named; see `busbar sources --help`.'),
  SOURCE_FILE_TOO_LARGE: row(367, 'E51', 'operator', 'later', 'RESOURCE_EXHAUSTED', 'The registration file, or all files that this process keeps, have more octets than they may.', 'Wait until files that are kept have been applied, reject those that wait, or ask the sender for smaller files.'),
} as const satisfies Record<string, ErrorRow>

export type ErrorCode = keyof typeof errorTable

const codeOfId = new Map<number, ErrorCode>(
  (Object.entries(errorTable) as [ErrorCode, ErrorRow][]).map(([code, { id }]) => [id, code]),
)

/**
 * The code with this `id`; ENVELOPE_MALFORMED's meaning for ids of a newer Busbar is up to the
 * caller.
 */
export function errorCodeOf(id: number): ErrorCode | undefined {
  return codeOfId.get(id)
}

export function errorId(code: ErrorCode): number {
  return errorTable[code].id
}

/** `CODE: meaning action`, with `detail` between when there is one. */
export function explain(code: ErrorCode, detail?: string): string {
  const { meaning, action } = errorTable[code]
  return detail ? `${meaning} (${detail}) ${action}` : `${meaning} ${action}`
}
