"""Who is who, and under which key it is sealed.

subjects  the random id and the key that stand for one relationship
creators  the key of what belongs to a creator and to no fan
keys      the keyring, and how it wraps each subject's key
wrappers  what seals a key under another one: AES-GCM here, or a key service
seal      sealing bytes to the place where they belong
sealed_files  what a backup is made of
suppression  the keyed hash of who is to be remembered no more
cursors   where a list goes on, sealed to that list
log_ids   what stands for a person in logs
control   signs orders, so that whoever may write events can't give any
binding   binds the keys of a former release to their relationships, once
receipts  signed proofs of erasures, checked offline
holders   every place that holds something of a fan, and what erasure does to it
"""
