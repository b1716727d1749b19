"""MQTT 5 as far as netmon speaks it: connect, subscribe, publish and receive at QoS 0.

`packet` is the encoding, pure; `connection` is one connection over an asyncio stream that somebody else has opened, so that it leaves by the
line that it is pinned to, within the caller's time, and with packets no longer than the caller wants.
"""
