"""Records that people change, and paged queries of layers, on the database of a workspace.

Private tables (users, keys, sessions, jobs) are no layers. Who needs one puts it
on a SQLAlchemy `MetaData` of its own, without a schema, and calls
``metadata.create_all(store.private())``: the engine leads to ``service.db`` beside
a GeoPackage, or into the schema ``taotu_private`` of a PostGIS database. There
``with engine.begin() as connection`` is one transaction; writers wait for each other.
"""

from geo.store.change import Change
from geo.store.query import Condition, Page, Query
from geo.store.scope import EVERYTHING, Scope
from geo.store.store import Store, open_store

__all__ = ["EVERYTHING", "Change", "Condition", "Page", "Query", "Scope", "Store", "open_store"]
