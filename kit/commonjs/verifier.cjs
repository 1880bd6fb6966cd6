module.exports = require('../dist/resource-server/verifier.js')
