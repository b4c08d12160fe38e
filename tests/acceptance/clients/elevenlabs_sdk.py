"""ElevenLabs' SDK checks definitions of webhook tools, and the signature of an event."""

import json

from elevenlabs.types.webhook_tool_config_input import WebhookToolConfigInput
from elevenlabs.webhooks_custom import WebhooksClient
from flow import given
from pydantic import TypeAdapter

asked = given()
checked = [TypeAdapter(WebhookToolConfigInput).validate_python(each).name for each in asked["tools"]]
event = WebhooksClient.construct_event(None, asked["body"], asked["signature"], asked["secret"])
print(json.dumps({"checked": checked, "event": event["type"]}))
