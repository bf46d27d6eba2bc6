"""stub"""
import hashlib
def assigned(domain, user, share):
    return int.from_bytes(hashlib.blake2b(f"{domain}/{user}".encode(errors="replace"), digest_size=8).digest(),"big") / 2**64 < share
