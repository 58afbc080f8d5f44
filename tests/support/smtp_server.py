"""An SMTP server on loopback that answers as it is told.

The first argument is a JSON object: "tls" ("starttls" or "implicit") with "certificate" and "key",
"require_starttls", "users" (name to password), "tokens" (name to
access token, for XOAUTH2 alone), "require_auth", "dsn", "injected" (what somebody on the
way puts behind the answer to STARTTLS). Each line on standard input
is a JSON object that replaces what is answered: command to answer, where the commands are
GREETING, EHLO, STARTTLS, AUTH, MAIL, RCPT, DATA and END (of a mail), and an answer is a line, lines
parted by "|", "hang" or "drop". Standard output tells the port, each new script, and each mail
that arrived whole, a JSON object a line. Ends with standard input.
"""

import asyncio
import base64
import json
import logging
import ssl
import sys
import threading
import warnings

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

# It warns of what these tests are about.
warnings.simplefilter("ignore")
logging.getLogger("mail.log").setLevel(logging.CRITICAL + 1)

OPTIONS = json.loads(sys.argv[1])
SCRIPT = {}


def tell(**what):
    print(json.dumps(what), flush=True)


class Scripted(SMTP):
    params = ""

    async def told(self, command):
        """Answers as told; false where nothing was said about the command."""
        answer = SCRIPT.get(command)
        if answer == "hang":
            await asyncio.sleep(600)
        elif answer == "drop":
            self.transport.abort()
        elif answer:
            for line in answer.split("|"):
                await self.push(line)
            if command == "GREETING" or answer.startswith("421"):
                self.transport.close()
        return bool(answer)

    async def _handle_client(self):
        if not await self.told("GREETING"):
            await super()._handle_client()

    async def smtp_EHLO(self, hostname):
        if not await self.told("EHLO"):
            await super().smtp_EHLO(hostname)

    async def push(self, status):
        if OPTIONS.get("injected") and status.startswith("220 Ready"):
            status += "\r\n" + OPTIONS["injected"]
        await super().push(status)

    async def smtp_STARTTLS(self, arg):
        if not await self.told("STARTTLS"):
            await super().smtp_STARTTLS(arg)

    async def smtp_AUTH(self, arg):
        if not await self.told("AUTH"):
            await super().smtp_AUTH(arg)

    async def smtp_MAIL(self, arg):
        if not await self.told("MAIL"):
            address, _, self.params = arg.partition("> ")
            await super().smtp_MAIL(address if address.endswith(">") else address + ">")

    async def smtp_RCPT(self, arg):
        if not await self.told("RCPT"):
            address, _, params = arg.partition("> ")
            self.params = f"{self.params} {params}".strip()
            await super().smtp_RCPT(address if address.endswith(">") else address + ">")

    async def smtp_DATA(self, arg):
        if not await self.told("DATA"):
            await super().smtp_DATA(arg)


class Handler:
    async def handle_EHLO(self, server, session, envelope, hostname, responses):
        session.host_name = hostname
        mine = ["250-DSN"] if OPTIONS.get("dsn") else []
        if not OPTIONS.get("users") and not OPTIONS.get("tokens"):
            responses = [line for line in responses if not line.startswith("250-AUTH")]
        return responses[:-1] + mine + responses[-1:]

    async def auth_XOAUTH2(self, server, args):
        user, token = base64.b64decode(args[1]).decode().split("\x01")[:2]
        user, token = user.removeprefix("user="), token.removeprefix("auth=Bearer ")
        if OPTIONS["tokens"].get(user) == token:
            data = LoginPassword(user.encode(), token.encode())
            return AuthResult(success=True, auth_data=data)
        # It says why, and refuses once the client has heard it.
        await server.challenge_auth('{"status":"400","schemes":"Bearer"}')
        return AuthResult(success=False, handled=False)

    async def handle_DATA(self, server, session, envelope):
        tell(
            mail=envelope.content.decode("latin-1"),
            mail_from=envelope.mail_from,
            rcpt_to=envelope.rcpt_tos,
            params=server.params,
            peer=session.peer[1],
            tls=server.transport.get_extra_info("sslcontext") is not None,
            user=(session.auth_data.login.decode() if session.authenticated else None),
        )
        answer = SCRIPT.get("END")
        if answer == "hang":
            await asyncio.sleep(600)
        if answer == "drop":
            server.transport.abort()
        return answer.replace("|", "\r\n") if answer else "250 2.0.0 Ok: queued as 4CxTEST"


def check(server, session, envelope, mechanism, data):
    password = OPTIONS["users"].get(data.login.decode())
    return AuthResult(success=password == data.password.decode(), handled=False, auth_data=data)


def context():
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(OPTIONS["certificate"], OPTIONS["key"])
    return made


def listen_to_script(loop):
    for line in sys.stdin:
        SCRIPT.clear()
        SCRIPT.update(json.loads(line))
        tell(script=True)
    loop.call_soon_threadsafe(loop.stop)


def main():
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    tls = OPTIONS.get("tls")
    made = context() if tls else None

    def serve():
        return Scripted(
            Handler(),
            hostname="mail.test",
            tls_context=made if tls == "starttls" else None,
            require_starttls=bool(OPTIONS.get("require_starttls")),
            auth_required=bool(OPTIONS.get("require_auth")),
            auth_require_tls=False,
            auth_exclude_mechanism=["PLAIN", "LOGIN"] if OPTIONS.get("tokens") else ["XOAUTH2"],
            authenticator=check,
            loop=loop,
        )

    implicit = made if tls == "implicit" else None
    server = loop.run_until_complete(loop.create_server(serve, "127.0.0.1", 0, ssl=implicit))
    tell(port=server.sockets[0].getsockname()[1])
    threading.Thread(target=listen_to_script, args=(loop,), daemon=True).start()
    loop.run_forever()


main()
