"""Retell's SDK checks definitions of functions, signs a body and verifies its own signature."""

import json

from flow import given
from pydantic import TypeAdapter
from retell.lib.webhook_auth import symmetric
from retell.types.llm_response import GeneralToolCustomTool

asked = given()
checked = [TypeAdapter(GeneralToolCustomTool).validate_python(each).name for each in asked["tools"]]
signature = symmetric["sign"](asked["body"], asked["secret"])
verified = symmetric["verify"](asked["body"], asked["secret"], signature)
print(json.dumps({"checked": checked, "signature": signature, "verified": verified}))
