"""What an operator can say: the settings, how they are loaded, and what is wrong with them.

Contract types: ``models.Settings`` is all of it. Each other model is one topic: ``source``,
``request``, ``response``, ``credentials``, ``transport``, ``resilience``, ``limits``, ``server``,
``auth``. All of them are ``base.SettingsModel``.

``loading`` reads settings from variables (``variables``) and a TOML file (``config_file``), and
reports all mistakes at once (``mistakes``). ``reference`` writes what there is to be set.
"""
