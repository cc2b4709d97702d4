"""Runs inside Home Assistant's own Python: does with it what a person does with a browser.

Reads one JSON list a line, [what, {arguments}], and answers with one JSON value a line.
"""

import asyncio
import json
import sys

import aiohttp
from playwright.async_api import async_playwright

BASE = "http://127.0.0.1:8123"
CLIENT = BASE + "/"
USER = {"name": "Test", "username": "test", "password": "only-for-the-test", "language": "en"}


class Hands:
    def __init__(self, session):
        self._session = session
        self._tokens = {}
        self._socket = None
        self._number = 0

    async def onboard(self):
        """Make the first user and sign in."""
        made = await self._post("/api/onboarding/users", {"client_id": CLIENT, **USER})
        grant = {"grant_type": "authorization_code", "code": made["auth_code"]}
        reply = await self._session.post(BASE + "/auth/token", data={**grant, "client_id": CLIENT})
        self._tokens = await reply.json()
        for step in ("core_config", "analytics"):
            await self._post(f"/api/onboarding/{step}", {})
        redirect = {"client_id": CLIENT, "redirect_uri": CLIENT}
        await self._post("/api/onboarding/integration", redirect)
        self._socket = await self._session.ws_connect(BASE + "/api/websocket")
        await self._socket.receive_json()
        token = self._tokens["access_token"]
        await self._socket.send_json({"type": "auth", "access_token": token})
        version = (await self._socket.receive_json())["ha_version"]
        await self.ask("http/config/promote")  # else it is taken back after five minutes
        return version

    async def add(self, domain, steps):
        """Go through a config flow; returns what it said at each step."""
        flow = await self._post("/api/config/config_entries/flow", {"handler": domain})
        if "flow_id" not in flow:
            return [flow]
        said = [self._brief(flow)]
        for answers in steps:
            url = "/api/config/config_entries/flow/" + flow["flow_id"]
            said.append(self._brief(await self._post(url, answers)))
        return said

    async def ask(self, type, **fields):
        """A call over the websocket."""
        self._number += 1
        await self._socket.send_json({"id": self._number, "type": type, **fields})
        while True:
            answer = await self._socket.receive_json()
            if answer.get("id") == self._number and answer["type"] == "result":
                return answer["result"] if answer["success"] else answer["error"]

    async def service(self, domain, name, **fields):
        return await self._post(f"/api/services/{domain}/{name}", fields)

    async def states(self):
        """{entity: state} of all entities."""
        headers = self._headers()
        async with self._session.get(BASE + "/api/states", headers=headers) as reply:
            return {row["entity_id"]: row["state"] for row in await reply.json()}

    async def picture(self, path, page, width, height, left):
        """What a browser shows at `page`, right of `left`."""
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path="/usr/lib/chromium/chromium",
                args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
            )
            view = await browser.new_page(viewport={"width": width, "height": height})
            tokens = {**self._tokens, "hassUrl": BASE, "clientId": CLIENT, "expires": 1 << 44}
            stored = json.dumps(json.dumps(tokens))
            await view.add_init_script(f"localStorage.setItem('hassTokens', {stored})")
            await view.goto(BASE + page)
            await view.wait_for_timeout(15000)
            clip = {"x": left, "y": 0, "width": width - left, "height": height}
            await view.screenshot(path=path, clip=clip)
            await browser.close()

    async def _post(self, path, data):
        async with self._session.post(BASE + path, json=data, headers=self._headers()) as reply:
            text = await reply.text()
            try:
                return json.loads(text)
            except ValueError:
                return {"status": reply.status, "text": text[:200]}

    def _headers(self):
        token = self._tokens.get("access_token")
        return {"Authorization": "Bearer " + token} if token else {}

    @staticmethod
    def _brief(flow):
        names = ("type", "step_id", "title", "errors", "reason")
        return {name: flow[name] for name in names if flow.get(name)}


async def main():
    async with aiohttp.ClientSession() as session:
        hands = Hands(session)
        loop = asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            what, arguments = json.loads(line)
            answer = await getattr(hands, what)(**arguments)
            print(json.dumps(answer), flush=True)


asyncio.run(main())
