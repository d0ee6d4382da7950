#!/usr/bin/env python3
"""How many logins and tickets MIT Kerberos gives on this machine, for docs/beside-mit-kerberos.md.

    bench/kdc_mit.py [--rounds N] [--seconds S] [--no-last-success]

Makes a realm in a temporary directory, starts krb5kdc on loopback, asks it from processes that each
have a libkrb5 of their own, and removes everything. Nothing of the machine's Kerberos is read or
changed. Needs krb5-kdc, krb5-admin-server and krb5-user (on Debian; their services need not run).
The last line of standard output is one JSON object of medians. The clients keep no ticket, so that
every exchange asks the KDC. `password` turns the password into a key each time, at the client.
As installed, the KDC notes each user's last login in its database, and syncs it, before it answers;
--no-last-success is its own setting that leaves this (and counting wrong passwords) out.
"""
import argparse
import ctypes
import json
import multiprocessing
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

REALM = "BENCH.TEST"
PASSWORD = "bench-password-1"
CREDENTIALS_SIZE = 1024  # of a krb5_creds, and far more: only its second and third word are set here
NO_STORE = 8  # KRB5_GC_NO_STORE
STRONG, OLDER = "aes256-cts-hmac-sha384-192", "aes256-cts-hmac-sha1-96"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Realm:
    """A realm of one KDC in a directory of its own."""

    def __init__(self, directory, last_success):
        self.directory = directory
        self.port = free_port()
        for transport, limit in (("udp", 32700), ("tcp", 1)):
            with open(self.config(transport), "w", encoding="ascii") as file:
                file.write(f"""[libdefaults]
 default_realm = {REALM}
 dns_lookup_kdc = false
 dns_canonicalize_hostname = false
 rdns = false
 permitted_enctypes = {STRONG} {OLDER}
 udp_preference_limit = {limit}
[realms]
 {REALM} = {{
  kdc = 127.0.0.1:{self.port}
 }}
""")
        with open(f"{directory}/kdc.conf", "w", encoding="ascii") as file:
            file.write(f"""[kdcdefaults]
 kdc_listen = 127.0.0.1:{self.port}
 kdc_tcp_listen = 127.0.0.1:{self.port}
[realms]
 {REALM} = {{
  database_name = {directory}/principal
  key_stash_file = {directory}/stash
  acl_file = {directory}/kadm5.acl
  master_key_type = {STRONG}
  supported_enctypes = {STRONG}:normal {OLDER}:normal
  default_principal_flags = +preauth
  database_module = store
 }}
[dbmodules]
 store = {{
  db_library = db2
  database_name = {directory}/principal
  disable_last_success = {"false" if last_success else "true"}
  disable_lockout = {"false" if last_success else "true"}
 }}
[logging]
 kdc = FILE:{directory}/kdc.log
""")
        self.environment = dict(os.environ, KRB5_CONFIG=self.config("udp"), KRB5_KDC_PROFILE=f"{directory}/kdc.conf",
                                PATH=os.environ["PATH"] + ":/usr/sbin")
        self._run("kdb5_util", "create", "-s", "-r", REALM, "-P", "master-password")
        self._admin(f"addprinc -pw {PASSWORD} person")
        self._admin(f"addprinc -pw {PASSWORD} -e {OLDER}:normal oldperson")
        for name in ("bot/desk7", "host/fs1"):
            self._admin(f"addprinc -randkey +requires_preauth {name}")
        self._admin(f"ktadd -k {self.keytab} bot/desk7")
        # pylint: disable-next=consider-using-with
        self.kdc = subprocess.Popen(["krb5kdc", "-n"], env=self.environment, stdout=subprocess.PIPE,
                                    stderr=subprocess.STDOUT)
        self.kdc.stdout.readline()  # "starting..."

    def config(self, transport):
        return f"{self.directory}/krb5-{transport}.conf"

    @property
    def keytab(self):
        return f"{self.directory}/bot.keytab"

    def _run(self, *command):
        subprocess.run(command, env=self.environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def _admin(self, query):
        self._run("kadmin.local", "-q", query)

    def cpu_seconds(self):
        with open(f"/proc/{self.kdc.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.kdc.terminate()
        self.kdc.wait()


class Library:
    """The few calls of libkrb5 that are timed."""

    def __init__(self):
        self.lib = ctypes.CDLL("libkrb5.so.3")
        self.context = ctypes.c_void_p()
        self._call("krb5_init_context", ctypes.byref(self.context))

    def _call(self, name, *arguments):
        code = getattr(self.lib, name)(*arguments)
        if code != 0:
            sys.exit(f"{name}: error {ctypes.c_int(code).value}")

    def _new(self, name, *arguments):
        made = ctypes.c_void_p()
        self._call(name, self.context, *arguments, ctypes.byref(made))
        return made

    def principal(self, name):
        return self._new("krb5_parse_name", name.encode())

    def keytab(self, path):
        return self._new("krb5_kt_resolve", path.encode())

    def forget(self, credentials):
        self.lib.krb5_free_cred_contents(self.context, credentials)

    def by_password(self, client, password):
        got = ctypes.create_string_buffer(CREDENTIALS_SIZE)
        self._call("krb5_get_init_creds_password", self.context, got, client, password, None, None, 0, None, None)
        return got

    def by_keytab(self, client, keytab):
        got = ctypes.create_string_buffer(CREDENTIALS_SIZE)
        self._call("krb5_get_init_creds_keytab", self.context, got, client, keytab, 0, None, None)
        return got

    def cache_with(self, client, credentials):
        cache = self._new("krb5_cc_new_unique", b"MEMORY", None)
        self._call("krb5_cc_initialize", self.context, cache, client)
        self._call("krb5_cc_store_cred", self.context, cache, credentials)
        return cache

    def ticket(self, cache, client, service):
        asked = (ctypes.c_void_p * (CREDENTIALS_SIZE // 8))()
        asked[1], asked[2] = client.value, service.value
        got = ctypes.c_void_p()
        self._call("krb5_get_credentials", self.context, NO_STORE, cache, asked, ctypes.byref(got))
        self.lib.krb5_free_creds(self.context, got)


def exchange_of(what, keytab_path):
    library = Library()
    if what in ("password", "oldpassword"):
        client = library.principal("person" if what == "password" else "oldperson")
        return lambda: library.forget(library.by_password(client, PASSWORD.encode()))
    client, keytab = library.principal("bot/desk7"), library.keytab(keytab_path)
    if what == "keytab":
        return lambda: library.forget(library.by_keytab(client, keytab))
    cache, service = library.cache_with(client, library.by_keytab(client, keytab)), library.principal("host/fs1")
    return lambda: library.ticket(cache, client, service)


def client_main(what, keytab, config, seconds, ready, results):
    os.environ["KRB5_CONFIG"] = config
    exchange = exchange_of(what, keytab)
    exchange()
    ready.wait()
    count, begin, cpu = 0, time.monotonic(), time.process_time()
    while time.monotonic() < begin + seconds:
        exchange()
        count += 1
    results.put((count, time.monotonic() - begin, time.process_time() - cpu))


def measure(realm, what, transport, clients, seconds):
    ready, results = multiprocessing.Barrier(clients + 1), multiprocessing.SimpleQueue()
    running = [multiprocessing.Process(target=client_main,
                                       args=(what, realm.keytab, realm.config(transport), seconds, ready, results))
               for _ in range(clients)]
    for process in running:
        process.start()
    ready.wait()
    before = realm.cpu_seconds()
    got = [results.get() for _ in running]
    cpu = realm.cpu_seconds() - before
    for process in running:
        process.join()
    exchanges = sum(count for count, _, _ in got)
    return {"per_s": sum(count / took for count, took, _ in got), "kdc_us": cpu / exchanges * 1e6,
            "client_us": sum(used for _, _, used in got) / exchanges * 1e6}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--no-last-success", action="store_true")
    arguments = parser.parse_args()
    directory = tempfile.mkdtemp(prefix="troth-mit-")
    realm = None
    seen = {}
    try:
        realm = Realm(directory, not arguments.no_last_success)
        for turn in range(arguments.rounds):
            for what in ("password", "oldpassword", "keytab", "tgs"):
                for transport in ("udp", "tcp"):
                    for clients in (1, 2):
                        name = f"{what}_{transport}_{clients}"
                        one = measure(realm, what, transport, clients, arguments.seconds)
                        seen.setdefault(name, []).append(one)
                        print(f"round {turn + 1}: {name} {one['per_s']:.0f}/s", file=sys.stderr)
    finally:
        if realm is not None:
            realm.stop()
        shutil.rmtree(directory)
    report = {name: {field: round(statistics.median(one[field] for one in all_of_it), 1) for field in all_of_it[0]}
              for name, all_of_it in seen.items()}
    print(json.dumps({"rounds": arguments.rounds, **report}))


if __name__ == "__main__":
    main()
