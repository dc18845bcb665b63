"""Lists of one user that are read page by page.

requests.py   the request of an upstream page, by key, position and number of items
reader.py     from a response to an upstream page: its items, and whether more follow
building.py   a page of any size, from any position, built of upstream pages
pages.py      calls the service, for each upstream page that is needed
contract.py   the settings of a list, and whether they fit its items
"""
