"""What was done by whom, written down so that nothing can be taken out of it unseen.

    policy.py   which requests are told of, and how much of them: the original's Policy file
    events.py   one line of the log from a request
    journal.py  the file: chained by hashes, whole after a kill, changed for a new one when it is large; `verify`
    auditor.py  the three together: requests do not wait for the disk

A line that was acknowledged nowhere may be lost by a kill; one that is there is whole, and one that was changed or
taken out is found.
"""
