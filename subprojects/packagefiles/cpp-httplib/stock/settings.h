// Upstream's own settings plus TLS: an independent peer for tests and benchmarks, never shipped.
// It lives in namespace httplib_stock, so that it can share a program with the product's httplib
// (but not a source file).
#pragma once
#ifdef CPPHTTPLIB_HTTPLIB_H
#error "another httplib.h was included before this one: use a source file of its own"
#endif
#define CPPHTTPLIB_OPENSSL_SUPPORT
#define CPPHTTPLIB_USE_POLL // 0.18 otherwise fails from fd 1024 on

