"""Sends one call of each kind: python send.py LIBRARY URL WRITE_KEY USER"""

import sys

library, url, write_key, user = sys.argv[1:]
if library == "segment-analytics-python":
    import segment.analytics as analytics

    analytics.host = url
else:
    import rudderstack.analytics as analytics

    analytics.dataPlaneUrl = url
analytics.write_key = write_key

# `json.dumps` writes half of a pair as JavaScript does.
analytics.track(user_id=user, event="cut \ud83d", properties={"price": 9.5, "list": [1, "ü"]})
analytics.identify(user_id=user, traits={"plan": "gold"})
analytics.page(user_id=user, name="Home")
analytics.screen(user_id=user, name="Main")
analytics.group(user_id=user, group_id="g1", traits={"size": 3})
analytics.alias(user_id=user, previous_id="before")
analytics.flush()
analytics.shutdown()
