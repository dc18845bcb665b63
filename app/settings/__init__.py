"""The settings that an operator can set: models, loading, and the report of mistakes.

Contract types: ``models.Settings`` is the whole. Each other model has one topic: ``source``,
``request``, ``response``, ``credentials``, ``transport``, ``resilience``, ``limits``, ``server``,
``auth``. All of them are ``base.SettingsModel``.

``loading`` reads settings from variables (``variables``) and a TOML file (``config_file``), and
reports all mistakes at once (``mistakes``). ``reference`` writes the settings in effect, and the
JSON Schema of the file.
"""
