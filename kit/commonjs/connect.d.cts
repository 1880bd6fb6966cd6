import type * as connect from '../dist/resource-server/connect.js' with { 'resolution-mode': 'import' }

export type * from '../dist/resource-server/connect.js' with { 'resolution-mode': 'import' }
export declare const resourceServer: typeof connect.resourceServer
