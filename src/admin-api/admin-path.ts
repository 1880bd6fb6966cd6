/** Below it is everything of the admin API. */
export const adminPath = '/admin/v1'
