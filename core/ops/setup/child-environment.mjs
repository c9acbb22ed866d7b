// @ts-check
/**
 * What child processes get of this process's environment: what they need, by name, and nothing
 * else. Key-encryption keys, passwords of ledgers and other secrets of an environment stay here.
 * Runs on Node 20 with nothing installed, as its neighbours do.
 */

/** @typedef {Readonly<Record<string, string | undefined>>} Environment */

/**
 * What any program needs: where programs, homes and temporary files are, language and time zone.
 */
const ofAny =
  /^(PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_[A-Z]+|TZ|TZDIR|TMPDIR|TMP|TEMP|XDG_CACHE_HOME|LD_LIBRARY_PATH|DYLD_LIBRARY_PATH|SYSTEMROOT|WINDIR|COMSPEC|PATHEXT|APPDATA|LOCALAPPDATA|USERPROFILE)$/i
/** Memory, processors and debugging of a program in Go, such as nats-server. */
const ofGoPrograms = /^(GOMAXPROCS|GOMEMLIMIT|GOGC|GODEBUG|GOTRACEBACK)$/
/** How Node runs, and which certificates it believes. */
const ofNode =
  /^(NODE_(OPTIONS|COMPILE_CACHE|EXTRA_CA_CERTS|ICU_DATA|V8_COVERAGE)|SSL_CERT_(FILE|DIR)|UV_THREADPOOL_SIZE)$/
/** Which way to the network, and from where packages come. */
const ofObtaining =
  /^((https?|ftp|all|no)_proxy|GO[A-Z0-9]+|CGO_ENABLED|APT_CONFIG|SSL_CERT_(FILE|DIR)|CURL_CA_BUNDLE|GIT_[A-Z_]+|npm_config_.+)$/i

/** @param {Environment} env @param {readonly RegExp[]} kinds @returns {Record<string, string>} */
function keep(env, kinds) {
  /** @type {Record<string, string>} */
  const kept = {}
  for (const [name, value] of Object.entries(env))
    if (value !== undefined && kinds.some((kind) => kind.test(name))) kept[name] = value
  return kept
}

/** For a nats-server, and for programs of the system. @param {Environment} env */
export const environmentOfServer = (env) => keep(env, [ofAny, ofGoPrograms])

/** For a process of Busbar; its settings are named beside. @param {Environment} env */
export const environmentOfNode = (env) => keep(env, [ofAny, ofGoPrograms, ofNode])

/** For programs that fetch something: apt, go, npm. @param {Environment} env */
export const environmentOfTool = (env) => keep(env, [ofAny, ofNode, ofObtaining])
