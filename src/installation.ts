import { existsSync, mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { openDatabase, type Database, type InstallationTable } from '../db/database.ts'
import { findInstallation, insertInstallation } from '../db/installation.ts'
import { migrate, schemaStatus } from '../db/migrate.ts'
import { ConfigError, type Config } from './config.ts'
import { makeRootKeyFile, readRootKeys, type RootKeys } from './keys/root-key.ts'

/** A database, the root key that fits it, and what it says of itself. */
export interface Installation {
  readonly db: Database
  readonly rootKeys: RootKeys
  readonly record: InstallationTable
}
