// The settings of the httplib that Troth ships. They are written in front of the header itself:
// some change class layouts, so the library and everyone who includes it must agree.
#pragma once
#ifdef CPPHTTPLIB_HTTPLIB_H
#error "another httplib.h was included before this one"
#endif

// No CPPHTTPLIB_OPENSSL_SUPPORT: our own connection loop does TLS, httplib sees bytes only.
#define CPPHTTPLIB_USE_POLL              // 0.18 otherwise uses select() and fails from fd 1024 on
#define CPPHTTPLIB_LISTEN_BACKLOG 4096   // default 5 loses connections in any burst
#define CPPHTTPLIB_NO_DEFAULT_USER_AGENT // nobody needs to know
#define CPPHTTPLIB_HEADER_MAX_COUNT 32   // ours need fewer than ten
#define CPPHTTPLIB_HEADER_MAX_LENGTH 2048
#define CPPHTTPLIB_REQUEST_URI_MAX_LENGTH 256 // /v1/<service>/<operation>, never a name in it
#define CPPHTTPLIB_EXPECT_100_THRESHOLD 0     // never wait for "100 Continue"
// Should the stock loop ever be used: an idle connection wakes once a second, not 100 times.
#define CPPHTTPLIB_KEEPALIVE_TIMEOUT_CHECK_INTERVAL_USECOND 1000000

