"""redis-py's Lock on one key, told what to do by lines on stdin: acquire WAIT_SECONDS, owned, release."""

import sys

import redis
from redis.exceptions import LockNotOwnedError

url, key = sys.argv[1:]
lock = redis.Redis.from_url(url).lock(key, timeout=600, thread_local=False)

for line in sys.stdin:
    match line.split():
        case ["acquire", "0"]:
            said = lock.acquire(blocking=False)
        case ["acquire", wait]:
            said = lock.acquire(blocking_timeout=float(wait))
        case ["owned"]:
            said = lock.owned()
        case ["release"]:
            try:
                lock.release()
                said = True
            except LockNotOwnedError:
                said = False
    print(said, flush=True)
